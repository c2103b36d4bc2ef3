-- What destroys is for those to whom an administrator gives it, beside being owner of the table.
revoke execute on function cio.forget(regclass, text[]) from public;
revoke execute on function cio.reset(regclass, boolean) from public;
revoke execute on function cio.unmirror(regclass, boolean) from public;
