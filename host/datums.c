/*
 * datums.c
 *    Python values of a row as Datums. The row's batch owns the objects, so an
 *    ereport in the middle leaks nothing.
 */
#include "host.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* wrong_value reports a value of another Python type than its column needs: a fault of the package. */
static void
wrong_value(PyObject *value, const char *wanted)
{
	PyErr_Clear();
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
			 errmsg("cio_fdw: expected %s, got %s", wanted, Py_TYPE(value)->tp_name)));
}

/* as_int64 returns a Python int. */
static int64
as_int64(PyObject *value)
{
	long long	number;

	if (!PyLong_Check(value))
		wrong_value(value, "an int");
	number = PyLong_AsLongLong(value);
	if (number == -1 && PyErr_Occurred())
	{
		PyErr_Clear();
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("bigint out of range")));
	}
	return number;
}

/* as_timestamp returns microseconds since 1970 as a timestamptz. */
static Datum
as_timestamp(PyObject *value)
{
	int64		unix_us = as_int64(value);
	TimestampTz time;

	if (pg_sub_s64_overflow(unix_us, HOST_UNIX_EPOCH_OFFSET_US, &time) || !IS_VALID_TIMESTAMP(time))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return TimestampTzGetDatum(time);
}

/* as_utf8 returns the bytes of a Python str, without NUL bytes inside. */
static const char *
as_utf8(PyObject *value, Py_ssize_t *length)
{
	const char *utf8 = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, length) : NULL;

	if (!utf8 || memchr(utf8, 0, *length))
		wrong_value(value, "a clean str");
	return utf8;
}

/* as_text returns a Python str as text in the server's encoding. */
static Datum
as_text(PyObject *value)
{
	Py_ssize_t	length;
	const char *utf8 = as_utf8(value, &length);
	char	   *converted;

	if (GetDatabaseEncoding() == PG_UTF8)
		return PointerGetDatum(cstring_to_text_with_len(utf8, (int) length));
	converted = pg_any_to_server(utf8, (int) length, PG_UTF8);
	return CStringGetTextDatum(converted);
}

/* as_jsonb parses Python bytes that hold JSON in UTF-8. */
static Datum
as_jsonb(PyObject *value)
{
	char	   *json;

	if (!PyBytes_Check(value))
		wrong_value(value, "bytes");
	json = PyBytes_AS_STRING(value);
	/* Python did not look inside: only strings that it decodes are known to be UTF-8. */
	pg_verify_mbstr(PG_UTF8, json, (int) PyBytes_GET_SIZE(value), false);
	if (GetDatabaseEncoding() != PG_UTF8)
		json = pg_any_to_server(json, (int) PyBytes_GET_SIZE(value), PG_UTF8);
	return host_jsonb(json);
}

/* as_text_array returns a list of str and None as text[]. */
static Datum
as_text_array(PyObject *value)
{
	int			n;
	int			lower = 1;
	Datum	   *items;
	bool	   *nulls;

	if (!PyList_Check(value))
		wrong_value(value, "a list");
	n = (int) PyList_GET_SIZE(value);
	if (n == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	items = palloc0(sizeof(Datum) * n);
	nulls = palloc0(sizeof(bool) * n);
	for (int i = 0; i < n; i++)
	{
		PyObject   *item = PyList_GET_ITEM(value, i);

		nulls[i] = item == Py_None;
		if (!nulls[i])
			items[i] = as_text(item);
	}
	return PointerGetDatum(construct_md_array(items, nulls, 1, &n, &lower,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

/* host_datum converts one value to its column's type; None is NULL. */
Datum
host_datum(PyObject *value, Oid type, bool *isnull)
{
	*isnull = value == Py_None;
	if (*isnull)
		return (Datum) 0;
	switch (type)
	{
		case INT8OID:
			return Int64GetDatum(as_int64(value));
		case FLOAT8OID:
			if (!PyFloat_Check(value))
				wrong_value(value, "a float");
			return Float8GetDatum(PyFloat_AS_DOUBLE(value));
		case BOOLOID:
			if (!PyBool_Check(value))
				wrong_value(value, "a bool");
			return BoolGetDatum(value == Py_True);
		case TEXTOID:
			return as_text(value);
		case TIMESTAMPTZOID:
			return as_timestamp(value);
		case JSONBOID:
			return as_jsonb(value);
		case TEXTARRAYOID:
			return as_text_array(value);
		default:
			elog(ERROR, "cio_fdw: unexpected column type %u", type);
	}
	return (Datum) 0;
}
