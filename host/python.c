/*
 * python.c
 *    Calls into cio_fdw.native, and Python exceptions as PostgreSQL errors.
 */
#include "host.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/elog.h"

/*
 * host_call calls a function of cio_fdw.native and returns its result, a new
 * reference. It takes over args. Errors leave as PostgreSQL errors.
 */
PyObject *
host_call(const char *function, PyObject *args)
{
	PyObject   *callable = args ? PyObject_GetAttrString(host_native, function) : NULL;
	PyObject   *result = callable ? PyObject_CallObject(callable, args) : NULL;

	Py_XDECREF(callable);
	Py_XDECREF(args);
	return host_checked(result);
}

/* host_call_method calls a method without arguments; errors leave as PostgreSQL errors. */
PyObject *
host_call_method(PyObject *object, const char *method)
{
	return host_checked(PyObject_CallMethod(object, method, NULL));
}

/*
 * host_checked returns result, unless it is NULL or PostgreSQL asked for an end
 * of the statement in the meantime: then it raises that.
 */
PyObject *
host_checked(PyObject *result)
{
	if (host_pending())
	{
		Py_XDECREF(result);
		PyErr_Clear();
		host_rethrow_pending();
	}
	if (!result)
		host_raise();
	return result;
}

/* forget drops the reference that a memory context held. */
static void
forget(void *object)
{
	if (!host_exiting)
		Py_DECREF((PyObject *) object);
}

/*
 * host_keep gives a reference to the current memory context, which drops it
 * when it is reset, and returns the object, borrowed.
 */
PyObject *
host_keep(PyObject *object)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	callback->func = forget;
	callback->arg = object;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return object;
}

/* converted returns UTF-8 text in the server's encoding, or NULL when that lacks a character. */
static char *
converted(const char *utf8)
{
	int			encoding = GetDatabaseEncoding();
	int			length = (int) strlen(utf8);
	int			size = length * MAX_CONVERSION_GROWTH + 1;
	char	   *text;
	Oid			conversion;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pstrdup(utf8);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
		return NULL;
	text = palloc(size);
	if (pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding, (unsigned char *) utf8, length,
									  (unsigned char *) text, size, true) != length)
		return NULL;
	return text;
}

/*
 * host_text returns a palloc'd copy of a Python string for a message, which
 * must never fail itself: what the server's encoding lacks is escaped.
 */
char *
host_text(PyObject *object)
{
	const char *utf8 = PyUnicode_Check(object) ? PyUnicode_AsUTF8(object) : NULL;
	char	   *text = utf8 ? converted(utf8) : NULL;
	PyObject   *ascii;

	if (text)
		return text;
	PyErr_Clear();
	ascii = PyUnicode_Check(object) ? PyUnicode_AsEncodedString(object, "ascii", "backslashreplace") : NULL;
	if (ascii)
		return pstrdup(PyBytes_AS_STRING(host_keep(ascii)));
	PyErr_Clear();
	return pstrdup("(not a text)");
}

/* item_text returns item i of a tuple as text, or NULL when it is None. */
static char *
item_text(PyObject *tuple, Py_ssize_t i)
{
	PyObject   *item = PyTuple_GetItem(tuple, i);

	return item && item != Py_None ? host_text(item) : NULL;
}

/* report turns what native.describe said of an exception into a PostgreSQL error. */
static void
report(PyObject *described)
{
	char	   *sqlstate;
	char	   *message;
	char	   *detail;
	char	   *hint;
	char	   *log;

	host_keep(described);
	sqlstate = item_text(described, 0);
	message = item_text(described, 1);
	detail = item_text(described, 2);
	hint = item_text(described, 3);
	log = item_text(described, 4);
	ereport(ERROR,
			(errcode(sqlstate && strlen(sqlstate) == 5
					 ? MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4])
					 : ERRCODE_INTERNAL_ERROR),
			 errmsg_internal("%s", message ? message : "cio_fdw: no message"),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0,
			 log ? errdetail_log("%s", log) : 0));
}

/* describe calls native.describe on the exception that is set, and clears it. */
static PyObject *
describe(void)
{
	PyObject   *type;
	PyObject   *value;
	PyObject   *traceback;
	PyObject   *described = NULL;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (value && traceback)
		PyException_SetTraceback(value, traceback);
	if (value && host_native)
		described = PyObject_CallMethod(host_native, "describe", "O", value);
	if (!described && value)
	{
		/* The package cannot even be imported, so say what Python says. */
		PyObject   *text;

		PyErr_Clear();
		text = PyObject_Str(value);
		if (text)
			described = Py_BuildValue("(sOOss)", "XX000", text, Py_None,
									  "Check the setting cio_fdw.python and that the package cio_fdw is installed for it.",
									  PyExceptionClass_Name(type));
		Py_XDECREF(text);
	}
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	PyErr_Clear();
	if (described && (!PyTuple_Check(described) || PyTuple_GET_SIZE(described) != 5))
		Py_CLEAR(described);
	return described;
}

/*
 * host_raise raises the Python exception that is set as a PostgreSQL error.
 * Interrupted stands for an error of PostgreSQL's own, which is thrown here,
 * after all Python frames have unwound.
 */
void
host_raise(void)
{
	PyObject   *described;

	if (host_interrupted && PyErr_ExceptionMatches(host_interrupted))
	{
		PyErr_Clear();
		host_rethrow_pending();
	}
	described = describe();
	if (!described)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("cio_fdw: Python failed without saying why")));
	report(described);
	pg_unreachable();
}
