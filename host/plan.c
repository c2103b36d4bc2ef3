/*
 * plan.c
 *    Planning: sizes and costs from Python, the ways to scan, then a ForeignScan
 *    that carries the recognised quals. Nothing is sent to the API here.
 *
 * fdw_exprs holds the right-hand side of each qual. fdw_private holds the quals
 * (qualtree.c), the attribute numbers that the statement needs, the number of
 * rows that suffice (0 when it is not known) and the requests expected.
 */
#include "host.h"

#include "access/sysattr.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"

enum
{
	PLAN_QUALS,
	PLAN_COLUMNS,
	PLAN_LIMIT,
	PLAN_REQUESTS
};

/*
 * What a scan for each outer row costs more than one scan with as many requests:
 * such scans run one after the other, so that no two requests are under way at once.
 */
#define ONE_BY_ONE_FACTOR 1.1

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

/* host_column_names returns the names of the given attribute numbers as a C array. */
char **
host_column_names(const HostTable *table, List *columns)
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
	HostRel    *info = palloc0(sizeof(HostRel));

	host_start_python();
	info->known_rows = Max(rel->tuples, 0);
	info->table = host_table(table_id);
	info->columns = needed_columns(rel, info->table);
	rel->fdw_private = info;
	info->estimate = host_estimate(root, rel, info->table, info->columns, rel->baserestrictinfo);
	rel->rows = info->estimate.rows;
	rel->tuples = Max(info->estimate.table_rows, rel->rows);
	rel->reltarget->width = info->estimate.width;
}

/* add_scan adds one way to scan; `outer` names what its parameters come from. */
static void
add_scan(PlannerInfo *root, RelOptInfo *rel, const HostEstimate *estimate, Relids outer)
{
	add_path(rel, (Path *) create_foreignscan_path(root, rel, NULL, estimate->rows,
#if PG_VERSION_NUM >= 180000
												   0,
#endif
												   estimate->startup_cost, estimate->total_cost,
												   NIL, outer, NULL,
#if PG_VERSION_NUM >= 170000
												   NIL,
#endif
												   list_make1(makeFloat(psprintf("%f", estimate->requests)))));
}

/* A column of rel, as generate_implied_equalities_for_column asks for one. */
static bool
is_column(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em, void *arg)
{
	Var		   *var = host_plain_var((Node *) em->em_expr, rel);

	(void) root;
	(void) ec;
	return var && var->varattno == *(AttrNumber *) arg;
}

/* add_outer adds the relations that a join clause compares rel with, when a scan can be parameterized by them. */
static List *
add_outer(RelOptInfo *rel, RestrictInfo *clause, List *outers)
{
	Relids		outer;
	ListCell   *cell;

	if (!join_clause_is_movable_to(clause, rel))
		return outers;
	outer = bms_del_member(bms_union(clause->clause_relids, rel->lateral_relids), rel->relid);
	if (bms_is_empty(outer))
		return outers;
	foreach(cell, outers)
		if (bms_equal(lfirst(cell), outer))
			return outers;
	return lappend(outers, outer);
}

/* possible_outers returns the sets of relations whose rows could narrow the requests for rel. */
static List *
possible_outers(PlannerInfo *root, RelOptInfo *rel, const HostTable *table)
{
	List	   *outers = NIL;
	ListCell   *cell;

	foreach(cell, rel->joininfo)
		outers = add_outer(rel, lfirst_node(RestrictInfo, cell), outers);
	for (AttrNumber attno = 1; rel->has_eclass_joins && attno <= table->natts; attno++)
		foreach(cell, generate_implied_equalities_for_column(root, rel, is_column, &attno,
															 rel->lateral_referencers))
			outers = add_outer(rel, lfirst_node(RestrictInfo, cell), outers);
	return outers;
}

/*
 * host_get_paths adds a scan by the table's own conditions, and those scans
 * that a join would run once for each outer row with fewer requests.
 */
void
host_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id)
{
	HostRel    *info = rel->fdw_private;
	ListCell   *cell;

	(void) table_id;
	add_scan(root, rel, &info->estimate, rel->lateral_relids);
	foreach(cell, possible_outers(root, rel, info->table))
	{
		ParamPathInfo *param = get_baserel_parampathinfo(root, rel, lfirst(cell));
		List	   *clauses = list_concat_copy(rel->baserestrictinfo, param->ppi_clauses);
		HostEstimate estimate = host_estimate(root, rel, info->table, info->columns, clauses);

		if (estimate.requests >= info->estimate.requests)
			continue;
		param->ppi_rows = estimate.rows;
		estimate.total_cost *= ONE_BY_ONE_FACTOR;
		add_scan(root, rel, &estimate, lfirst(cell));
	}
}

/* is_literal returns whether a count of LIMIT or OFFSET is absent or will be the same in each run of the plan. */
static bool
is_literal(Node *count)
{
	return !count || IsA(count, Const);
}

/*
 * sufficient_rows returns how many rows the statement takes at most, or 0: that
 * is known when this scan is all that it reads, and what is fetched is returned.
 */
static int
sufficient_rows(PlannerInfo *root, RelOptInfo *rel)
{
	Query	   *query = root->parse;

	/* Of other expressions than literals limit_tuples is only an estimate. */
	if (!is_literal(query->limitCount) || !is_literal(query->limitOffset) || root->limit_tuples < 1 || root->limit_tuples > PG_INT32_MAX ||
		query->sortClause || query->distinctClause || query->groupClause ||
		query->hasAggs || query->havingQual || query->hasTargetSRFs || query->hasWindowFuncs || query->setOperations ||
		bms_membership(root->all_baserels) != BMS_SINGLETON ||
		!((HostRel *) rel->fdw_private)->estimate.is_exact)
		return 0;
	return (int) root->limit_tuples;
}

/* host_get_plan makes the ForeignScan. Every clause stays with PostgreSQL too. */
ForeignScan *
host_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id, ForeignPath *path,
			  List *tlist, List *clauses, Plan *outer)
{
	HostRel    *info = rel->fdw_private;
	List	   *actual = extract_actual_clauses(clauses, false);
	List	   *rights = NIL;
	List	   *quals = host_describe_quals(host_recognise(root, rel, actual), &rights);
	int			limit = sufficient_rows(root, rel);
	double		requests = path->fdw_private ? floatVal(linitial(path->fdw_private)) : 0;

	(void) table_id;
	return make_foreignscan(tlist, actual, rel->relid, rights,
							list_make4(quals, info->columns, list_make1_int(limit),
									   makeFloat(psprintf("%f", requests))),
							NIL, NIL, outer);
}

/* host_plan_quals returns the quals of a plan. */
List *
host_plan_quals(ForeignScan *plan)
{
	return host_described_quals(list_nth(plan->fdw_private, PLAN_QUALS), plan->fdw_exprs);
}

/* host_plan_columns returns the attribute numbers that a plan needs. */
List *
host_plan_columns(ForeignScan *plan)
{
	return list_nth(plan->fdw_private, PLAN_COLUMNS);
}

/* host_plan_limit returns how many rows suffice, or 0. */
int
host_plan_limit(ForeignScan *plan)
{
	return linitial_int(list_nth(plan->fdw_private, PLAN_LIMIT));
}

/* host_plan_requests returns how many requests the planner expected. */
double
host_plan_requests(ForeignScan *plan)
{
	return floatVal(list_nth(plan->fdw_private, PLAN_REQUESTS));
}
