/*
 * reader.c
 *    Rows of one Python scan, one at a time. A reader owns the Python objects:
 *    whatever ends the memory context it was made in gives them back.
 */
#include "host.h"

#include "miscadmin.h"
#include "utils/syscache.h"

/* quietly calls a Python method where no error may be raised; a failure goes to the log. */
static void
quietly(PyObject *object, const char *method)
{
	PyObject   *result;

	if (!object)
		return;
	result = PyObject_CallMethod(object, method, NULL);
	if (!result)
		PyErr_WriteUnraisable(object);
	Py_XDECREF(result);
}

/* host_stop_reading ends the present run: worker threads, sockets, buffered rows. */
void
host_stop_reading(HostReader *reader)
{
	PyObject   *batches = reader->batches;

	Py_CLEAR(reader->batch);
	reader->batches = NULL;
	quietly(batches, "close");
	Py_XDECREF(batches);
	reader->next = 0;
	reader->exhausted = false;
}

/*
 * host_release_reader gives back all Python objects; called at the end of the
 * query, however it ends. An exiting backend may still have the scan's own
 * Python frames below it, and its threads are stopped already: it gives back
 * nothing.
 */
void
host_release_reader(void *arg)
{
	HostReader *reader = arg;
	PyObject   *type;
	PyObject   *value;
	PyObject   *traceback;

	if (!reader->source || host_exiting)
		return;
	PyErr_Fetch(&type, &value, &traceback);
	host_stop_reading(reader);
	quietly(reader->source, "close");
	Py_CLEAR(reader->source);
	host_forget_pending();
	PyErr_Restore(type, value, traceback);
}

/* host_make_reader returns a reader of the columns with these attribute numbers, for the current context. */
HostReader *
host_make_reader(HostTable *table, List *columns)
{
	HostReader *reader = palloc0(sizeof(HostReader));
	ListCell   *cell;

	reader->table = table;
	reader->statement = CurrentMemoryContext;
	reader->columns = palloc(sizeof(int) * Max(list_length(columns), 1));
	foreach(cell, columns)
		reader->columns[reader->ncolumns++] = lfirst_int(cell) - 1;
	reader->ended.func = host_release_reader;
	reader->ended.arg = reader;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &reader->ended);
	return reader;
}

/* mapping_options returns the options of the user's mapping; *found tells a missing one. */
static List *
mapping_options(Oid user, Oid server, bool *found)
{
	*found = SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user), ObjectIdGetDatum(server)) ||
		SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid), ObjectIdGetDatum(server));
	return *found ? host_utf8_options(GetUserMapping(user, server)->options) : NIL;
}

/* host_open_reader calls a function of Python that opens a scan of the table for a user. */
void
host_open_reader(HostReader *reader, const char *function, Oid user)
{
	bool		found;
	List	   *mapping = mapping_options(user, reader->table->server_id, &found);
	char	  **names = palloc(sizeof(char *) * Max(reader->ncolumns, 1));

	for (int i = 0; i < reader->ncolumns; i++)
		names[i] = reader->table->names[reader->columns[i]];
	reader->source = host_call(function,
							   Py_BuildValue("(NNNN)", host_python_table(reader->table),
											 found ? host_python_options(mapping) : Py_NewRef(Py_None),
											 host_python_strings(names, reader->ncolumns),
											 PyLong_FromVoidPtr(reader->statement)));
}

/* host_next_batch gets the next batch. It returns false at the end. */
bool
host_next_batch(HostReader *reader)
{
	Py_CLEAR(reader->batch);
	reader->next = 0;
	reader->batch = PyIter_Next(reader->batches);
	if (host_pending() || PyErr_Occurred())
		host_checked(NULL);
	reader->exhausted = !reader->batch;
	if (reader->batch && !PyList_Check(reader->batch))
		elog(ERROR, "cio_fdw: a batch is not a list");
	return !reader->exhausted;
}

/* host_next_row returns the next row tuple, borrowed from the batch, or NULL at the end. */
PyObject *
host_next_row(HostReader *reader)
{
	while (!reader->batch || reader->next >= PyList_GET_SIZE(reader->batch))
	{
		if (!host_next_batch(reader))
			return NULL;
	}
	return PyList_GET_ITEM(reader->batch, reader->next++);
}

/* conversion_context names table and column in errors of the conversion. */
static void
conversion_context(void *arg)
{
	HostReader *reader = arg;

	if (reader->current >= 0)
		errcontext("column \"%s\" of foreign table \"%s\"",
				   host_from_utf8(reader->table->names[reader->current]), host_from_utf8(reader->table->relname));
}

/* host_fill_row converts one row tuple into values by attribute number. */
void
host_fill_row(HostReader *reader, PyObject *row, Datum *values, bool *isnull)
{
	memset(isnull, true, sizeof(bool) * reader->table->natts);
	if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) != reader->ncolumns)
		elog(ERROR, "cio_fdw: a row is not a tuple of %d items", reader->ncolumns);
	reader->converting.callback = conversion_context;
	reader->converting.arg = reader;
	reader->converting.previous = error_context_stack;
	error_context_stack = &reader->converting;
	for (int i = 0; i < reader->ncolumns; i++)
	{
		int			column = reader->columns[i];

		reader->current = column;
		values[column] = host_datum(PyTuple_GET_ITEM(row, i), reader->table->type_ids[column],
									&isnull[column]);
	}
	error_context_stack = reader->converting.previous;
}
