/*
 * plan.c
 *    Planning: row estimate and cost from Python, then a ForeignScan that
 *    carries the recognised quals. Nothing is sent to the API here.
 *
 * fdw_exprs holds the right-hand side of each qual. fdw_private holds a list of
 * (attno, operator, right type) as integers, one per qual, then the list of the
 * attribute numbers that the statement needs.
 */
#include "host.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"

/* What host_get_rel_size learns and host_get_paths uses. */
typedef struct HostRel
{
	double		startup_cost;
	double		total_cost;
} HostRel;

/* needed_columns returns the attribute numbers that a scan must fill, in table order. */
static List *
needed_columns(RelOptInfo *rel, const HostTable *table)
{
	Bitmapset  *used = NULL;
	List	   *columns = NIL;
	ListCell   *cell;
	bool		whole_row;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	foreach(cell, rel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, cell)->clause, rel->relid, &used);
	whole_row = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used);
	for (int attno = 1; attno <= table->natts; attno++)
		if (table->names[attno - 1] &&
			(whole_row || bms_is_member(attno - FirstLowInvalidHeapAttributeNumber, used)))
			columns = lappend_int(columns, attno);
	return columns;
}

/* planning_value returns what a right-hand side will probably be, or unknown. */
static HostValue
planning_value(PlannerInfo *root, const HostQual *qual)
{
	HostValue	unknown = {.kind = HOST_UNKNOWN};
	Node	   *node = estimate_expression_value(root, (Node *) copyObject(qual->right));

	if (!IsA(node, Const))
		return unknown;
	return host_value(((Const *) node)->constvalue, ((Const *) node)->constisnull,
					  qual->right_type, qual->op == HOST_IN);
}

/* column_names returns the names of the given attribute numbers as a C array. */
static char **
column_names(const HostTable *table, List *columns)
{
	char	  **names = palloc(sizeof(char *) * Max(list_length(columns), 1));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, columns)
		names[n++] = table->names[lfirst_int(cell) - 1];
	return names;
}

/* host_get_rel_size asks Python for rows, width and cost of the scan. */
void
host_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id)
{
	HostTable  *table;
	List	   *recognised;
	List	   *columns;
	char	  **names;
	HostQual   *quals;
	HostValue  *values;
	HostRel    *info = palloc0(sizeof(HostRel));
	PyObject   *result;
	ListCell   *cell;
	int			n = 0;
	int			width = 0;
	double		rows = 0;

	host_start_python();
	table = host_table(table_id);
	columns = needed_columns(rel, table);
	names = column_names(table, columns);
	recognised = host_recognise(root, rel, extract_actual_clauses(rel->baserestrictinfo, false));
	quals = palloc0(sizeof(HostQual) * Max(list_length(recognised), 1));
	values = palloc0(sizeof(HostValue) * Max(list_length(recognised), 1));
	foreach(cell, recognised)
	{
		quals[n] = *(HostQual *) lfirst(cell);
		values[n] = planning_value(root, &quals[n]);
		n++;
	}

	result = host_keep(host_call("estimate",
								 Py_BuildValue("(NNN)", host_python_table(table),
											   host_python_quals(table, quals, values, n),
											   host_python_strings(names, list_length(columns)))));
	if (!PyTuple_Check(result) ||
		!PyArg_ParseTuple(result, "didd", &rows, &width, &info->startup_cost, &info->total_cost))
	{
		PyErr_Clear();
		elog(ERROR, "cio_fdw: estimate did not return four numbers");
	}
	rel->rows = clamp_row_est(rows);
	rel->reltarget->width = width;
	rel->fdw_private = info;
}

/* host_get_paths adds the one way to scan: all requests, in no order. */
void
host_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id)
{
	HostRel    *info = rel->fdw_private;

	(void) table_id;
	add_path(rel, (Path *) create_foreignscan_path(root, rel, NULL, rel->rows,
#if PG_VERSION_NUM >= 180000
												   0,
#endif
												   info->startup_cost, info->total_cost,
												   NIL, rel->lateral_relids, NULL,
#if PG_VERSION_NUM >= 170000
												   NIL,
#endif
												   NIL));
}

/* host_get_plan makes the ForeignScan. Every clause stays with PostgreSQL too. */
ForeignScan *
host_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id, ForeignPath *path,
			  List *tlist, List *clauses, Plan *outer)
{
	List	   *actual = extract_actual_clauses(clauses, false);
	List	   *described = NIL;
	List	   *rights = NIL;
	ListCell   *cell;

	(void) path;
	foreach(cell, host_recognise(root, rel, actual))
	{
		HostQual   *qual = lfirst(cell);

		described = lappend(described, list_make3_int(qual->attno, qual->op, (int) qual->right_type));
		rights = lappend(rights, qual->right);
	}
	return make_foreignscan(tlist, actual, rel->relid, rights,
							list_make2(described, needed_columns(rel, host_table(table_id))),
							NIL, NIL, outer);
}

/* host_plan_quals returns the quals of a plan; their right-hand sides are in fdw_exprs. */
HostQual *
host_plan_quals(ForeignScan *plan, int *n)
{
	List	   *described = linitial(plan->fdw_private);
	HostQual   *quals = palloc0(sizeof(HostQual) * Max(list_length(described), 1));
	ListCell   *cell;

	*n = 0;
	foreach(cell, described)
	{
		List	   *qual = lfirst(cell);

		quals[*n].attno = linitial_int(qual);
		quals[*n].op = (HostOp) lsecond_int(qual);
		quals[*n].right_type = (Oid) lthird_int(qual);
		quals[*n].right = list_nth(plan->fdw_exprs, *n);
		(*n)++;
	}
	return quals;
}

/* host_plan_columns returns the attribute numbers that a plan needs. */
List *
host_plan_columns(ForeignScan *plan)
{
	return lsecond(plan->fdw_private);
}
