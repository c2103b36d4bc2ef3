/*
 * turning.c
 *    The instant from which on, or up to which, a shape (shapes.c) holds: found
 *    by bisection with PostgreSQL's own functions.
 *
 * What does not contain the instant is evaluated once, as PostgreSQL does for
 * the key of an index scan, and may raise what it likes. The rest are functions
 * of times, which fail for times out of their range. Such an instant tells of
 * no row, so it must not fail the statement: it only bounds the search.
 */
#include "host.h"

#include <math.h>

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Instants tried: from the year 1 to the year 9999, in microseconds since 2000. */
#define FIRST_US ((int64) (date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define LAST_US ((int64) (date2j(9999, 12, 31) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/* What a condition says of an instant. */
typedef enum Answer
{
	FAILS,
	NEVER,						/* null, as it then is of every instant */
	NO,
	YES
} Answer;

/* A condition being tried. */
typedef struct Trial
{
	ExprState  *condition;
	ExprContext *context;
} Trial;

/* has_instant returns whether a node is the instant, or a call that has it in an argument. */
static bool
has_instant(Node *node)
{
	Oid			function;
	List	   *args;
	ListCell   *cell;

	if (IsA(node, CaseTestExpr))
		return true;
	if (!host_called(node, &function, &args))
		return false;
	foreach(cell, args)
		if (has_instant(lfirst(cell)))
			return true;
	return false;
}

/* value_of evaluates an expression without the instant. */
static Node *
value_of(Node *node, ExprContext *context)
{
	ExprState  *state = ExecInitExprWithParams((Expr *) node, context->ecxt_param_list_info);
	Oid			type = exprType(node);
	int16		length;
	bool		by_value;
	bool		isnull;
	Datum		value = ExecEvalExprSwitchContext(state, context, &isnull);

	get_typlenbyval(type, &length, &by_value);
	return (Node *) makeConst(type, exprTypmod(node), exprCollation(node), length, value, isnull, by_value);
}

/* settle puts values in the place of all arguments without the instant. */
static void
settle(Node *call, ExprContext *context)
{
	Oid			function;
	List	   *args;
	ListCell   *cell;

	if (!host_called(call, &function, &args))
		return;
	foreach(cell, args)
	{
		Node	   *argument = lfirst(cell);

		if (has_instant(argument))
			settle(argument, context);
		else if (!IsA(argument, Const))
			lfirst(cell) = value_of(argument, context);
	}
}

/* is_out_of_range returns whether the error being handled is about the values at hand only. */
static bool
is_out_of_range(void)
{
	int			category = ERRCODE_TO_CATEGORY(geterrcode());

	return category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_FEATURE_NOT_SUPPORTED;
}

/* ask tries the condition on an instant. */
static Answer
ask(const Trial *trial, int64 instant)
{
	MemoryContext caller = CurrentMemoryContext;
	uint32		holdoff = InterruptHoldoffCount;
	volatile Answer answer = FAILS;

	ResetExprContext(trial->context);
	trial->context->caseValue_datum = TimestampTzGetDatum(instant);
	trial->context->caseValue_isNull = false;
	PG_TRY();
	{
		bool		isnull;
		Datum		holds = ExecEvalExprSwitchContext(trial->condition, trial->context, &isnull);

		answer = isnull ? NEVER : DatumGetBool(holds) ? YES : NO;
	}
	PG_CATCH();
	{
		if (!is_out_of_range())
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		InterruptHoldoffCount = holdoff;
	}
	PG_END_TRY();
	return answer;
}

/* some_instant finds an instant of which the condition says something. */
static bool
some_instant(const Trial *trial, int64 *instant, Answer *answer)
{
	const int64 candidates[] = {GetCurrentTransactionStartTimestamp(), 0, -HOST_UNIX_EPOCH_OFFSET_US};

	for (size_t i = 0; i < lengthof(candidates); i++)
	{
		*instant = candidates[i];
		*answer = ask(trial, *instant);
		if (*answer != FAILS)
			return true;
	}
	return false;
}

/* edge returns the instant nearest to `far` of which the condition says something, as it does of `near`. */
static int64
edge(const Trial *trial, int64 near, int64 far, Answer *answer)
{
	*answer = ask(trial, far);
	if (*answer != FAILS)
		return far;
	while (near - far > 1 || far - near > 1)
	{
		int64		middle = near + (far - near) / 2;

		if (ask(trial, middle) == FAILS)
			far = middle;
		else
			near = middle;
	}
	*answer = ask(trial, near);
	return near;
}

/* is_near_change returns whether the clock of a zone changes within so many seconds of an instant. */
static bool
is_near_change(const char *name, TimestampTz instant, pg_time_t within_s)
{
	pg_tz	   *zone = name[0] ? pg_tzset(name) : session_timezone;
	pg_time_t	from = timestamptz_to_time_t(instant) - within_s;
	pg_time_t	change;
	long int	before_offset;
	long int	after_offset;
	int			before_is_dst;
	int			after_is_dst;
	int			found;

	/* An abbreviation whose meaning changed with the years is no zone. */
	if (!zone)
		return true;
	found = pg_next_dst_boundary(&from, &before_offset, &before_is_dst, &change,
								 &after_offset, &after_is_dst, zone);
	return found < 0 || (found > 0 && change <= from + 2 * within_s);
}

/* slack_us returns by how much a range must be widened at an instant. */
static int64
slack_us(const HostOrder *order, TimestampTz instant)
{
	bool		changes = order->reach_h == HOST_ANYWHERE;
	ListCell   *cell;

	foreach(cell, order->zones)
		changes = changes || is_near_change(strVal(lfirst(cell)), instant,
											(pg_time_t) (order->reach_h + order->change_loose_h) * SECS_PER_HOUR);
	return (changes ? order->change_loose_h : order->loose_h) * USECS_PER_HOUR;
}

/*
 * bound_of returns the outermost instant of which the condition may be true:
 * the first when it is true of later ones, the last when of earlier ones;
 * infinite when that is not known.
 */
static HostValue
bound_of(const Trial *trial, const HostQual *qual)
{
	bool		rises = qual->op == HOST_GE;
	HostValue	open = {.kind = HOST_FLOAT, .real = rises ? -INFINITY : INFINITY};
	HostValue	bound = {.kind = HOST_INT};
	int64		some;
	int64		yes;			/* the end that the condition is true of, if of any */
	int64		no;				/* the other end */
	Answer		answer;
	int64		slack;

	if (!some_instant(trial, &some, &answer))
		return open;
	if (answer == NEVER)
	{
		bound.kind = HOST_NULL;
		return bound;
	}
	no = edge(trial, some, rises ? FIRST_US : LAST_US, &answer);
	if (answer != NO)
		return open;
	yes = edge(trial, some, rises ? LAST_US : FIRST_US, &answer);

	/* Where it is true of neither end, only instants out of order or out of range may be left. */
	if (answer == NO)
		no = yes;
	while (yes - no > 1 || no - yes > 1)
	{
		int64		middle = no + (yes - no) / 2;

		answer = ask(trial, middle);
		if (answer == FAILS)
			return open;
		if (answer == YES)
			yes = middle;
		else
			no = middle;
	}
	slack = slack_us(&qual->order, yes);
	bound.integer = (rises ? yes - slack : yes + slack) + HOST_UNIX_EPOCH_OFFSET_US;
	return bound;
}

/*
 * host_turning_point returns the instant that bounds the column, infinite when
 * there is none, null when no row can meet the condition. Parameters are taken
 * from `context`. All that it makes is in the current memory context.
 */
HostValue
host_turning_point(const HostQual *qual, Node *condition, ExprContext *context)
{
	Trial		trial;
	HostValue	value;

	condition = copyObject(condition);
	settle(condition, context);
	trial.condition = ExecInitExpr((Expr *) condition, NULL);
	trial.context = CreateStandaloneExprContext();
	value = bound_of(&trial, qual);
	FreeExprContext(trial.context, false);
	return value;
}

/* host_planned_turning_point does so while planning, for a condition without parameters. */
HostValue
host_planned_turning_point(const HostQual *qual, Node *condition)
{
	EState	   *state = CreateExecutorState();
	HostValue	value;

	fix_opfuncids(condition);
	value = host_turning_point(qual, condition, GetPerTupleExprContext(state));
	FreeExecutorState(state);
	return value;
}
