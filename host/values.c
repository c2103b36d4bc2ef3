/*
 * values.c
 *    PostgreSQL values on their way to Python: Datum to HostValue (may
 *    ereport), then HostValue to PyObject (may not).
 */
#include "host.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* host_to_utf8 returns text of the server's encoding in UTF-8. */
char *
host_to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

/* host_from_utf8 returns a copy of UTF-8 text in the server's encoding. May ereport. */
char *
host_from_utf8(const char *utf8)
{
	char	   *text = pg_any_to_server(utf8, strlen(utf8), PG_UTF8);

	return text == utf8 ? pstrdup(utf8) : text;
}

/* host_utf8_options returns copies of DefElems whose values are strings in UTF-8. */
List *
host_utf8_options(List *options)
{
	List	   *copies = NIL;
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		copies = lappend(copies, makeDefElem(host_to_utf8(option->defname),
											 (Node *) makeString(host_to_utf8(defGetString(option))), -1));
	}
	return copies;
}

/* host_type_is_supported returns whether host_value takes this type. */
bool
host_type_is_supported(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case BOOLOID:
		case TEXTOID:
		case VARCHAROID:
		case NAMEOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

/*
 * instant returns microseconds since 1970 UTC. Infinity and what does not fit
 * in 64 bits become a float infinity of that sign.
 */
static HostValue
instant(TimestampTz time, int overflow)
{
	HostValue	value = {.kind = HOST_INT};

	if (overflow > 0 || TIMESTAMP_IS_NOEND(time) || time > PG_INT64_MAX - HOST_UNIX_EPOCH_OFFSET_US)
	{
		value.kind = HOST_FLOAT;
		value.real = INFINITY;
	}
	else if (overflow < 0 || TIMESTAMP_IS_NOBEGIN(time))
	{
		value.kind = HOST_FLOAT;
		value.real = -INFINITY;
	}
	else
		value.integer = time + HOST_UNIX_EPOCH_OFFSET_US;
	return value;
}

/* scalar returns one value. Dates and timestamps become instants in the session's time zone. */
static HostValue
scalar(Datum datum, Oid type)
{
	HostValue	value = {.kind = HOST_INT};
	int			overflow = 0;
	TimestampTz time;

	switch (type)
	{
		case INT2OID:
			value.integer = DatumGetInt16(datum);
			return value;
		case INT4OID:
			value.integer = DatumGetInt32(datum);
			return value;
		case INT8OID:
			value.integer = DatumGetInt64(datum);
			return value;
		case FLOAT4OID:
			value.kind = HOST_FLOAT;
			value.real = DatumGetFloat4(datum);
			return value;
		case FLOAT8OID:
			value.kind = HOST_FLOAT;
			value.real = DatumGetFloat8(datum);
			return value;
		case BOOLOID:
			value.kind = HOST_BOOL;
			value.integer = DatumGetBool(datum);
			return value;
		case TEXTOID:
		case VARCHAROID:
			value.kind = HOST_STRING;
			value.string = host_to_utf8(TextDatumGetCString(datum));
			return value;
		case NAMEOID:
			value.kind = HOST_STRING;
			value.string = host_to_utf8(NameStr(*DatumGetName(datum)));
			return value;
		case DATEOID:
			time = date2timestamptz_opt_overflow(DatumGetDateADT(datum), &overflow);
			return instant(time, overflow);
		case TIMESTAMPOID:
			time = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(datum), &overflow);
			return instant(time, overflow);
		case TIMESTAMPTZOID:
			return instant(DatumGetTimestampTz(datum), 0);
		default:
			elog(ERROR, "cio_fdw: unexpected type %u", type);
	}
	return value;
}

/* array returns an array's elements, nested dimensions flattened as ANY does. */
static HostValue
array(Datum datum, Oid type)
{
	HostValue	value = {.kind = HOST_ARRAY};
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *datums;
	bool	   *nulls;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(DatumGetArrayTypeP(datum), type, length, by_value, align,
					  &datums, &nulls, &value.nitems);
	value.items = palloc0(sizeof(HostValue) * Max(value.nitems, 1));
	for (int i = 0; i < value.nitems; i++)
		value.items[i] = host_value(datums[i], nulls[i], type, false);
	return value;
}

/* host_value copies a Datum of a supported type, or an array of one. May ereport. */
HostValue
host_value(Datum datum, bool isnull, Oid type, bool is_array)
{
	HostValue	null = {.kind = HOST_NULL};

	if (isnull)
		return null;
	return is_array ? array(datum, type) : scalar(datum, type);
}

/* host_python_value returns a new reference, or NULL with a Python exception set. */
PyObject *
host_python_value(const HostValue *value)
{
	PyObject   *list;

	switch (value->kind)
	{
		case HOST_NULL:
			Py_RETURN_NONE;
		case HOST_UNKNOWN:
			return Py_NewRef(host_unknown);
		case HOST_INT:
			return PyLong_FromLongLong(value->integer);
		case HOST_FLOAT:
			return PyFloat_FromDouble(value->real);
		case HOST_BOOL:
			return PyBool_FromLong(value->integer);
		case HOST_STRING:
			return PyUnicode_FromString(value->string);
		case HOST_ARRAY:
			break;
	}
	list = PyTuple_New(value->nitems);
	for (int i = 0; list && i < value->nitems; i++)
	{
		PyObject   *item = host_python_value(&value->items[i]);

		if (!item)
			Py_CLEAR(list);
		else
			PyTuple_SET_ITEM(list, i, item);
	}
	return list;
}

/* host_python_options returns DefElems in UTF-8 as a dict of str. */
PyObject *
host_python_options(List *options)
{
	PyObject   *dict = PyDict_New();
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);
		PyObject   *text;

		if (!dict)
			break;
		text = PyUnicode_FromString(strVal(option->arg));
		if (!text || PyDict_SetItemString(dict, option->defname, text) < 0)
			Py_CLEAR(dict);
		Py_XDECREF(text);
	}
	return dict;
}

/* host_python_strings returns a tuple of str; a NULL string becomes None. */
PyObject *
host_python_strings(char **strings, int n)
{
	PyObject   *tuple = PyTuple_New(n);

	for (int i = 0; tuple && i < n; i++)
	{
		PyObject   *text = strings[i] ? PyUnicode_FromString(strings[i]) : Py_NewRef(Py_None);

		if (!text)
			Py_CLEAR(tuple);
		else
			PyTuple_SET_ITEM(tuple, i, text);
	}
	return tuple;
}

/* host_python_table returns (relname, server name, server options, table options, names, types, identity). */
PyObject *
host_python_table(const HostTable *table)
{
	return Py_BuildValue("(ssNNNNN)", table->relname, table->server_name,
						 host_python_options(table->server_options),
						 host_python_options(table->table_options),
						 host_python_strings(table->names, table->natts),
						 host_python_strings(table->types, table->natts),
						 PyUnicode_FromFormat("%u/%u", MyDatabaseId, table->server_id));
}
