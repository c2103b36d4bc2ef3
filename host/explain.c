/*
 * explain.c
 *    EXPLAIN: Python says what will be asked, or, after a run, what was asked.
 */
#include "host.h"

#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#endif

/* One property, copied out of Python: a whole number, another number, or a list of texts. */
typedef struct Property
{
	char	   *label;
	List	   *texts;
	char	   *unit;
	int64		integer;
	double		real;
	char		kind;
} Property;

/* read_property copies a (label, value, unit) tuple; returns false with an exception set. */
static bool
read_property(PyObject *item, Property *property)
{
	PyObject   *label;
	PyObject   *value;
	PyObject   *unit;

	if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "UOU", &label, &value, &unit))
	{
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_TypeError, "an EXPLAIN property is not a tuple");
		return false;
	}
	property->label = host_text(label);
	property->unit = PyUnicode_GET_LENGTH(unit) > 0 ? host_text(unit) : NULL;
	if (PyLong_Check(value))
	{
		property->kind = 'i';
		property->integer = PyLong_AsLongLong(value);
	}
	else if (PyFloat_Check(value))
	{
		property->kind = 'f';
		property->real = PyFloat_AS_DOUBLE(value);
	}
	else
	{
		property->kind = 't';
		for (Py_ssize_t i = 0; PyTuple_Check(value) && i < PyTuple_GET_SIZE(value); i++)
			property->texts = lappend(property->texts, host_text(PyTuple_GET_ITEM(value, i)));
	}
	return !PyErr_Occurred();
}

/* read_properties copies a Python list of properties. */
static Property *
read_properties(PyObject *list, int *n)
{
	Property   *properties;

	host_keep(list);
	if (!PyList_Check(list))
		elog(ERROR, "cio_fdw: explain did not return a list");
	*n = (int) PyList_GET_SIZE(list);
	properties = palloc0(sizeof(Property) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		if (!read_property(PyList_GET_ITEM(list, i), &properties[i]))
			host_raise();
	return properties;
}

/* properties_of asks the scan itself once it ran, else what the plan alone tells. */
static PyObject *
properties_of(ForeignScanState *node, bool analyze)
{
	PyObject   *scan = host_scan_object(node);
	HostTable  *table;
	PyObject   *quals;
	double		requests = host_plan_requests((ForeignScan *) node->ss.ps.plan);

	if (scan)
		return host_checked(PyObject_CallMethod(scan, "explain", "dO", requests, analyze ? Py_True : Py_False));
	table = host_table(RelationGetRelid(node->ss.ss_currentRelation));
	quals = host_planned_quals(node, table);
	return host_call("explain", Py_BuildValue("(NNNd)", host_python_table(table), quals,
											  host_scan_limit(node), requests));
}

/* print_texts prints a line each where people read, and one list where programs do. */
static void
print_texts(const Property *property, ExplainState *es)
{
	ListCell   *cell;

	if (es->format != EXPLAIN_FORMAT_TEXT)
		ExplainPropertyList(property->label, property->texts, es);
	else
		foreach(cell, property->texts)
			ExplainPropertyText(property->label, lfirst(cell), es);
}

/* host_explain prints the properties of one foreign scan. */
void
host_explain(ForeignScanState *node, ExplainState *es)
{
	int			n;
	Property   *properties = read_properties(properties_of(node, es->analyze), &n);

	for (int i = 0; i < n; i++)
	{
		Property   *property = &properties[i];

		if (property->kind == 'i')
			ExplainPropertyInteger(property->label, property->unit, property->integer, es);
		else if (property->kind == 'f')
			ExplainPropertyFloat(property->label, property->unit, property->real, 3, es);
		else
			print_texts(property, es);
	}
}
