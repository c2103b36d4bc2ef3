/*
 * scan.c
 *    One foreign scan: it owns a Python scan, its iterator of batches and the
 *    batch being read. Whatever ends the query ends those too.
 */
#include "host.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

struct HostScan
{
	HostTable  *table;
	HostQual   *quals;
	int			nquals;
	List	   *rights;			/* ExprState of each qual's right-hand side */
	int			ncolumns;
	int		   *columns;		/* attno - 1 of each item of a row tuple */

	PyObject   *scan;			/* cio_fdw.native.Scan, NULL before the first row is asked for */
	PyObject   *batches;		/* iterator over lists of row tuples */
	PyObject   *batch;			/* the list being read */
	Py_ssize_t	next;			/* index of the next row in batch */
	bool		finished;

	MemoryContextCallback ended;
	ErrorContextCallback converting;
	int			current;		/* column being converted, for error context */
};

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

/* stop_batches ends the present run of the scan: worker threads, sockets, buffered rows. */
static void
stop_batches(HostScan *state)
{
	PyObject   *batches = state->batches;

	Py_CLEAR(state->batch);
	state->batches = NULL;
	quietly(batches, "close");
	Py_XDECREF(batches);
	state->next = 0;
	state->finished = false;
}

/*
 * release gives back all Python objects; called at the end of the query,
 * however it ends. An exiting backend may still have the scan's own Python
 * frames below it, and its threads are stopped already: it gives back nothing.
 */
static void
release(void *arg)
{
	HostScan   *state = arg;
	PyObject   *type;
	PyObject   *value;
	PyObject   *traceback;

	if (!state->scan || host_exiting)
		return;
	PyErr_Fetch(&type, &value, &traceback);
	stop_batches(state);
	Py_CLEAR(state->scan);
	host_forget_pending();
	PyErr_Restore(type, value, traceback);
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
	state->table = host_table(RelationGetRelid(node->ss.ss_currentRelation));
	state->quals = host_plan_quals(plan, &state->nquals);
	state->rights = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	state->columns = palloc(sizeof(int) * Max(list_length(host_plan_columns(plan)), 1));
	foreach(cell, host_plan_columns(plan))
		state->columns[state->ncolumns++] = lfirst_int(cell) - 1;
	state->ended.func = release;
	state->ended.arg = state;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &state->ended);
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

/* mapping_options returns the options of the user's mapping; *found tells a missing one. */
static List *
mapping_options(Oid user, Oid server, bool *found)
{
	*found = SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user), ObjectIdGetDatum(server)) ||
		SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid), ObjectIdGetDatum(server));
	return *found ? host_utf8_options(GetUserMapping(user, server)->options) : NIL;
}

/* open_scan makes the Python scan on the first row. */
static void
open_scan(ForeignScanState *node, HostScan *state)
{
	bool		found;
	List	   *mapping = mapping_options(scanning_user(node), state->table->server_id, &found);
	char	  **names = palloc(sizeof(char *) * Max(state->ncolumns, 1));

	for (int i = 0; i < state->ncolumns; i++)
		names[i] = state->table->names[state->columns[i]];
	state->scan = host_call("open_scan",
							Py_BuildValue("(NNN)", host_python_table(state->table),
										  found ? host_python_options(mapping) : Py_NewRef(Py_None),
										  host_python_strings(names, state->ncolumns)));
}

/* right_value evaluates the right-hand side of qual i. */
static HostValue
right_value(ForeignScanState *node, HostScan *state, int i)
{
	HostQual   *qual = &state->quals[i];
	bool		isnull;
	Datum		datum = ExecEvalExprSwitchContext(list_nth(state->rights, i),
												  node->ss.ps.ps_ExprContext, &isnull);

	return host_value(datum, isnull, qual->right_type, qual->op == HOST_IN);
}

/* start_batches evaluates the quals and asks Python for the rows. */
static void
start_batches(ForeignScanState *node, HostScan *state)
{
	HostValue  *values = palloc0(sizeof(HostValue) * Max(state->nquals, 1));
	PyObject   *quals;

	if (!state->scan)
		open_scan(node, state);
	for (int i = 0; i < state->nquals; i++)
		values[i] = right_value(node, state, i);
	quals = host_checked(host_python_quals(state->table, state->quals, values, state->nquals));
	state->batches = PyObject_CallMethod(state->scan, "start", "N", quals);
	host_checked(state->batches);
}

/* next_row returns the next row tuple, borrowed from the batch, or NULL at the end. */
static PyObject *
next_row(HostScan *state)
{
	while (!state->batch || state->next >= PyList_GET_SIZE(state->batch))
	{
		Py_CLEAR(state->batch);
		state->next = 0;
		state->batch = PyIter_Next(state->batches);
		if (host_pending() || PyErr_Occurred())
			host_checked(NULL);
		if (!state->batch)
			return NULL;
		if (!PyList_Check(state->batch))
			elog(ERROR, "cio_fdw: a batch is not a list");
	}
	return PyList_GET_ITEM(state->batch, state->next++);
}

/* conversion_context names table and column in errors of the conversion. */
static void
conversion_context(void *arg)
{
	HostScan   *state = arg;

	if (state->current >= 0)
		errcontext("column \"%s\" of foreign table \"%s\"",
				   state->table->names[state->current], state->table->relname);
}

/* fill_slot converts one row tuple into the slot's values. */
static void
fill_slot(HostScan *state, PyObject *row, TupleTableSlot *slot)
{
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) != state->ncolumns)
		elog(ERROR, "cio_fdw: a row is not a tuple of %d items", state->ncolumns);
	state->converting.callback = conversion_context;
	state->converting.arg = state;
	state->converting.previous = error_context_stack;
	error_context_stack = &state->converting;
	for (int i = 0; i < state->ncolumns; i++)
	{
		int			column = state->columns[i];

		state->current = column;
		slot->tts_values[column] = host_datum(PyTuple_GET_ITEM(row, i),
											  state->table->type_ids[column],
											  &slot->tts_isnull[column]);
	}
	error_context_stack = state->converting.previous;
}

/* host_iterate_scan returns the next row, or an empty slot at the end. */
TupleTableSlot *
host_iterate_scan(ForeignScanState *node)
{
	HostScan   *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	PyObject   *row;

	ExecClearTuple(slot);
	if (state->finished)
		return slot;
	if (!state->batches)
		start_batches(node, state);
	row = next_row(state);
	if (!row)
	{
		stop_batches(state);
		state->finished = true;
		return slot;
	}
	fill_slot(state, row, slot);
	return ExecStoreVirtualTuple(slot);
}

/* host_rescan forgets the present run; the next row starts another with fresh parameters. */
void
host_rescan(ForeignScanState *node)
{
	stop_batches(node->fdw_state);
}

/* host_end_scan ends the scan in the ordinary case; release does so in every other. */
void
host_end_scan(ForeignScanState *node)
{
	if (node->fdw_state)
		release(node->fdw_state);
}

/* host_scan_object returns the Python scan, borrowed, or NULL when no row was asked for. */
PyObject *
host_scan_object(ForeignScanState *node)
{
	return ((HostScan *) node->fdw_state)->scan;
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
	HostValue  *values = palloc0(sizeof(HostValue) * Max(state->nquals, 1));

	for (int i = 0; i < state->nquals; i++)
	{
		if (needs_execution((Node *) state->quals[i].right, node->ss.ps.state))
			values[i].kind = HOST_UNKNOWN;
		else
			values[i] = right_value(node, state, i);
	}
	return host_checked(host_python_quals(table, state->quals, values, state->nquals));
}
