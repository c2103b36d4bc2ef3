/*
 * scan.c
 *    One foreign scan: its quals with their values, and the rows that Python
 *    returns for them.
 */
#include "host.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"

struct HostScan
{
	List	   *quals;
	List	   *leaves;			/* host_leaves(quals) */
	List	   *rights;			/* ExprState of each leaf's right-hand side; of a shape NULL */
	int			limit;			/* rows that suffice, or 0 */
	HostReader *reader;			/* its source is NULL before the first row is asked for */
	HostAhead  *ahead;			/* NULL before the first row is asked for */
	bool		finished;
};

/* prepared returns what evaluates the right-hand side of a leaf; that of a shape is evaluated for each run anew. */
static ExprState *
prepared(ForeignScanState *node, const HostQual *qual)
{
	return OidIsValid(qual->right_type) ? ExecInitExpr(qual->right, (PlanState *) node) : NULL;
}

/* host_begin_scan prepares the state. Python is not asked before the first row is. */
void
host_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	HostScan   *state = palloc0(sizeof(HostScan));
	ListCell   *cell;

	(void) eflags;
	host_start_python();
	state->quals = host_plan_quals(plan);
	state->leaves = host_leaves(state->quals);
	state->limit = host_plan_limit(plan);
	foreach(cell, state->leaves)
		state->rights = lappend(state->rights, prepared(node, lfirst(cell)));
	state->reader = host_make_reader(host_table(RelationGetRelid(node->ss.ss_currentRelation)),
									 host_plan_columns(plan));
	node->fdw_state = state;
}

/* scanning_user returns the role whose user mapping applies: a view's owner for a view's table. */
static Oid
scanning_user(ForeignScanState *node)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	Oid			user;

#if PG_VERSION_NUM >= 160000
	user = plan->checkAsUser;
#else
	user = exec_rt_fetch(plan->scan.scanrelid, node->ss.ps.state)->checkAsUser;
#endif
	return OidIsValid(user) ? user : GetUserId();
}

/* right_value evaluates the right-hand side of leaf i. */
static HostValue
right_value(ForeignScanState *node, HostScan *state, int i)
{
	HostQual   *qual = list_nth(state->leaves, i);
	ExprState  *right = list_nth(state->rights, i);
	bool		isnull;
	Datum		datum;

	if (!OidIsValid(qual->right_type))
		return host_turning_point(qual, (Node *) qual->right, node->ss.ps.ps_ExprContext);
	datum = ExecEvalExprSwitchContext(right, node->ss.ps.ps_ExprContext, &isnull);
	return host_value(datum, isnull, qual->right_type, qual->op == HOST_IN);
}

/* python_limit returns how many rows suffice, None when that is not known. */
static PyObject *
python_limit(const HostScan *state)
{
	return state->limit ? PyLong_FromLong(state->limit) : Py_NewRef(Py_None);
}

/* start_batches evaluates the quals and asks Python for the rows. */
static void
start_batches(ForeignScanState *node, HostScan *state)
{
	int			n = list_length(state->leaves);
	HostValue  *values = palloc0(sizeof(HostValue) * Max(n, 1));
	HostReader *reader = state->reader;
	PyObject   *quals;

	if (!reader->source)
		host_open_reader(reader, "open_scan", scanning_user(node));
	for (int i = 0; i < n; i++)
		values[i] = right_value(node, state, i);
	quals = host_checked(host_python_quals(reader->table, state->quals, values));
	reader->batches = host_checked(PyObject_CallMethod(reader->source, "start", "NNO", quals, python_limit(state),
													   Py_True));
}

/* make_ahead prepares the place of rows that are read ahead, which lives as long as the scan. */
static void
make_ahead(ForeignScanState *node, HostScan *state)
{
	MemoryContext previous = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);

	state->ahead = host_make_ahead(state->reader, node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
								   ((ForeignScan *) node->ss.ps.plan)->fsSystemCol);
	MemoryContextSwitchTo(previous);
}

/* end_run ends the present run; an error that Python met while it ended is thrown. */
static void
end_run(HostScan *state)
{
	host_stop_reading(state->reader);
	if (state->ahead)
		host_forget_ahead(state->ahead);
	if (host_pending())
		host_rethrow_pending();
}

/* host_iterate_scan returns the next row, or an empty slot at the end. */
TupleTableSlot *
host_iterate_scan(ForeignScanState *node)
{
	HostScan   *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	if (state->finished)
		return slot;
	if (!state->reader->batches)
		start_batches(node, state);
	if (!state->ahead)
		make_ahead(node, state);
	if (!host_next_ahead(state->ahead, slot))
	{
		end_run(state);
		state->finished = true;
	}
	return slot;
}

/* host_rescan forgets the present run; the next row starts another with fresh parameters. */
void
host_rescan(ForeignScanState *node)
{
	HostScan   *state = node->fdw_state;

	end_run(state);
	state->finished = false;
}

/* host_end_scan ends the scan in the ordinary case; the end of its memory does so in every other. */
void
host_end_scan(ForeignScanState *node)
{
	HostScan   *state = node->fdw_state;

	if (!state)
		return;
	if (state->ahead)
		host_end_ahead(state->ahead);
	host_release_reader(state->reader);
}

/* host_scan_object returns the Python scan, borrowed, or NULL when no row was asked for. */
PyObject *
host_scan_object(ForeignScanState *node)
{
	return ((HostScan *) node->fdw_state)->reader->source;
}

/* host_scan_limit returns the rows that suffice for Python. */
PyObject *
host_scan_limit(ForeignScanState *node)
{
	return python_limit(node->fdw_state);
}

/* needs_execution returns whether an expression has a parameter that is not there yet. */
static bool
needs_execution(Node *node, void *context)
{
	if (!node)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind != PARAM_EXTERN ||
			((EState *) context)->es_param_list_info == NULL;
	return expression_tree_walker(node, needs_execution, context);
}

/* host_planned_quals returns the quals as far as they are known without executing. */
PyObject *
host_planned_quals(ForeignScanState *node, const HostTable *table)
{
	HostScan   *state = node->fdw_state;
	int			n = list_length(state->leaves);
	HostValue  *values = palloc0(sizeof(HostValue) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		if (needs_execution((Node *) ((HostQual *) list_nth(state->leaves, i))->right, node->ss.ps.state))
			values[i].kind = HOST_UNKNOWN;
		else
			values[i] = right_value(node, state, i);
	}
	return host_checked(host_python_quals(table, state->quals, values));
}
