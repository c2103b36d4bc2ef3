/*
 * estimate.c
 *    Asks Python what a scan with given clauses will bring and cost.
 */
#include "host.h"

#include "access/sysattr.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"

/* What the clauses on one column, and on no other, keep of the rows. */
typedef struct ColumnClauses
{
	AttrNumber	attno;
	List	   *clauses;		/* of RestrictInfo */
	double		selectivity;
	bool		is_guess;		/* statistics tell nothing of a clause */
} ColumnClauses;

/* has_unknown returns whether an expression has a value that planning cannot tell. */
static bool
has_unknown(Node *node, void *context)
{
	if (!node)
		return false;
	if (IsA(node, Param) || IsA(node, Var) || IsA(node, PlaceHolderVar))
		return true;
	return expression_tree_walker(node, has_unknown, context);
}

/* planning_value returns what a right-hand side will probably be, or unknown. */
static HostValue
planning_value(PlannerInfo *root, const HostQual *qual)
{
	HostValue	unknown = {.kind = HOST_UNKNOWN};
	Node	   *node = estimate_expression_value(root, (Node *) copyObject(qual->right));

	if (has_unknown(node, NULL))
		return unknown;
	if (!OidIsValid(qual->right_type))
		return host_planned_turning_point(qual, node);
	if (!IsA(node, Const))
		return unknown;
	return host_value(((Const *) node)->constvalue, ((Const *) node)->constisnull,
					  qual->right_type, qual->op == HOST_IN);
}

/* only_column returns the column of rel that a clause is about, or 0 when it is about more. */
static AttrNumber
only_column(Node *clause, RelOptInfo *rel)
{
	Bitmapset  *used = NULL;
	int			member;

	pull_varattnos(clause, rel->relid, &used);
	if (!bms_get_singleton_member(used, &member))
		return 0;
	return (AttrNumber) (member + FirstLowInvalidHeapAttributeNumber);
}

/* is_derived returns whether a clause compares an expression of a column (created::date), of which there are no statistics. */
static bool
is_derived(PlannerInfo *root, RelOptInfo *rel, Node *clause)
{
	ListCell   *cell;

	foreach(cell, host_leaves(host_recognise(root, rel, list_make1(clause))))
	{
		HostQual   *qual = lfirst(cell);

		if (!OidIsValid(qual->right_type) && qual->op != HOST_IS_NULL && qual->op != HOST_IS_NOT_NULL)
			return true;
	}
	return false;
}

/* clauses_by_column groups clauses, and takes their selectivity from PostgreSQL's statistics. */
static ColumnClauses *
clauses_by_column(PlannerInfo *root, RelOptInfo *rel, List *clauses, int *n)
{
	ColumnClauses *groups = palloc0(sizeof(ColumnClauses) * (list_length(clauses) + 1));
	ListCell   *cell;

	*n = 0;
	foreach(cell, clauses)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, cell);
		AttrNumber	attno = only_column((Node *) info->clause, rel);
		int			i = 0;

		while (i < *n && groups[i].attno != attno)
			i++;
		groups[i].attno = attno;
		groups[i].clauses = lappend(groups[i].clauses, info);
		groups[i].is_guess |= is_derived(root, rel, (Node *) info->clause);
		*n = Max(*n, i + 1);
	}
	for (int i = 0; i < *n; i++)
		groups[i].selectivity = clauselist_selectivity(root, groups[i].clauses, rel->relid, JOIN_INNER, NULL);
	return groups;
}

/* python_selectivities returns {column: selectivity} where statistics tell, or NULL with an exception set. */
static PyObject *
python_selectivities(const HostTable *table, const ColumnClauses *groups, int n)
{
	PyObject   *dict = PyDict_New();

	for (int i = 0; dict && i < n; i++)
	{
		PyObject   *number;

		if (groups[i].attno <= 0 || groups[i].is_guess)
			continue;
		number = PyFloat_FromDouble(groups[i].selectivity);
		if (!number || PyDict_SetItemString(dict, table->names[groups[i].attno - 1], number) < 0)
			Py_CLEAR(dict);
		Py_XDECREF(number);
	}
	return dict;
}

/* is_pushed returns whether Python's requests carry the conditions on a column; borrows the tuple. */
static bool
is_pushed(PyObject *pushed, const char *name)
{
	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pushed); i++)
	{
		const char *item = PyUnicode_AsUTF8(PyTuple_GET_ITEM(pushed, i));

		if (!item)
			host_raise();
		if (strcmp(item, name) == 0)
			return true;
	}
	return false;
}

/* clauses_are_exact returns whether each clause is one comparison of a column that is pushed. */
static bool
clauses_are_exact(PlannerInfo *root, RelOptInfo *rel, const HostTable *table, List *clauses, PyObject *pushed)
{
	ListCell   *cell;

	foreach(cell, clauses)
	{
		Node	   *clause = (Node *) lfirst_node(RestrictInfo, cell)->clause;
		List	   *quals = host_recognise(root, rel, list_make1(clause));
		HostQual   *qual = list_length(quals) == 1 ? linitial(quals) : NULL;

		if (!qual || qual->op == HOST_OR || !OidIsValid(qual->right_type) ||
			qual->op == HOST_IS_NULL || qual->op == HOST_IS_NOT_NULL ||
			!is_pushed(pushed, table->names[qual->attno - 1]))
			return false;
	}
	return true;
}

/* host_estimate returns what a scan that checks these clauses (RestrictInfos) brings and costs. */
HostEstimate
host_estimate(PlannerInfo *root, RelOptInfo *rel, const HostTable *table, List *columns, List *clauses)
{
	HostEstimate estimate = {0};
	List	   *quals = host_recognise(root, rel, extract_actual_clauses(clauses, false));
	List	   *leaves = host_leaves(quals);
	HostValue  *values = palloc0(sizeof(HostValue) * Max(list_length(leaves), 1));
	char	  **names = host_column_names(table, columns);
	int			ngroups;
	ColumnClauses *groups = clauses_by_column(root, rel, clauses, &ngroups);
	double		known_rows = rel->fdw_private ? ((HostRel *) rel->fdw_private)->known_rows : Max(rel->tuples, 0);
	PyObject   *result;
	PyObject   *pushed;

	for (int i = 0; i < list_length(leaves); i++)
		values[i] = planning_value(root, list_nth(leaves, i));
	result = host_keep(host_call("estimate",
								 Py_BuildValue("(NNNdN)", host_python_table(table),
											   host_python_quals(table, quals, values),
											   host_python_strings(names, list_length(columns)),
											   known_rows,
											   python_selectivities(table, groups, ngroups))));
	if (!PyTuple_Check(result) ||
		!PyArg_ParseTuple(result, "diddddO!", &estimate.fetched_rows, &estimate.width, &estimate.startup_cost,
						  &estimate.total_cost, &estimate.requests, &estimate.table_rows,
						  &PyTuple_Type, &pushed))
	{
		PyErr_Clear();
		elog(ERROR, "cio_fdw: estimate did not return what the host expects");
	}
	estimate.rows = estimate.fetched_rows;
	for (int i = 0; i < ngroups; i++)
		if (groups[i].attno <= 0 || !is_pushed(pushed, table->names[groups[i].attno - 1]))
			estimate.rows *= groups[i].selectivity;
	estimate.rows = clamp_row_est(estimate.rows);
	estimate.is_exact = clauses_are_exact(root, rel, table, clauses, pushed);
	return estimate;
}
