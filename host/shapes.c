/*
 * shapes.c
 *    Conditions on a function of a time column, as reporting tools write them:
 *    created::date = d, date_trunc('month', created) >= t, created at time zone
 *    z < t, extract(epoch from created) > n.
 *
 * The functions known here never fall while time rises (or never rise). So such
 * a condition holds from some instant on, or up to one, and that instant is
 * found by bisection with PostgreSQL's own functions: the condition is kept
 * with a CaseTestExpr in the column's place, which stands for the instant tried.
 *
 * Where a clock is set back, local time repeats and the order is broken for
 * some hours. Near such a moment the range is widened.
 */
#include "host.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* A clock is looked at this long before and after an instant, and set back by less than SLACK_US. */
#define NEAR_S ((pg_time_t) 2 * SECS_PER_DAY)
#define SLACK_US (26 * USECS_PER_HOUR)

/* Adding months or days to instants can change their order by this much at most. */
#define LOOSE_US (5 * USECS_PER_DAY)

/* Instants tried: from the year 1 to the year 9999, in microseconds since 2000. */
#define FIRST_US ((int64) (date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define LAST_US ((int64) (date2j(9999, 12, 31) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/* Those whose seconds since 1970 fit in an integer, in any time zone. */
#define INTEGER_FIRST_US ((int64) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define INTEGER_LAST_US ((int64) (date2j(2038, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

typedef enum StepKind
{
	STEP_PLAIN,
	STEP_SESSION_ZONE,			/* goes by the session's time zone */
	STEP_NAMED_ZONE,			/* goes by the time zone that argument `other` names */
	STEP_UNIT,					/* only for some units, which argument `other` names */
	STEP_ZONED_UNIT,			/* both a unit and the session's time zone */
	STEP_INTERVAL				/* adds the interval of argument `other` */
} StepKind;

/* A function that keeps the order of its argument `moving`. */
typedef struct Step
{
	Oid			function;
	int			moving;
	StepKind	kind;
	int			other;
	bool		falls;			/* it reverses the order */
} Step;

static const Step steps[] = {
	{F_DATE_TIMESTAMPTZ, 0, STEP_SESSION_ZONE, -1, false},
	{F_DATE_TIMESTAMP, 0, STEP_PLAIN, -1, false},
	{F_TIMESTAMP_TIMESTAMPTZ, 0, STEP_SESSION_ZONE, -1, false},
	{F_TIMESTAMP_DATE, 0, STEP_PLAIN, -1, false},
	{F_TIMESTAMP_TIMESTAMP_INT4, 0, STEP_PLAIN, -1, false},
	{F_TIMESTAMPTZ_TIMESTAMP, 0, STEP_SESSION_ZONE, -1, false},
	{F_TIMESTAMPTZ_DATE, 0, STEP_SESSION_ZONE, -1, false},
	{F_TIMESTAMPTZ_TIMESTAMPTZ_INT4, 0, STEP_PLAIN, -1, false},
	{F_DATE_TRUNC_TEXT_TIMESTAMPTZ, 1, STEP_SESSION_ZONE, -1, false},
	{F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT, 1, STEP_NAMED_ZONE, 2, false},
	{F_DATE_TRUNC_TEXT_TIMESTAMP, 1, STEP_PLAIN, -1, false},
	{F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ, 1, STEP_PLAIN, -1, false},
	{F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP, 1, STEP_PLAIN, -1, false},
	{F_TIMEZONE_TEXT_TIMESTAMPTZ, 1, STEP_NAMED_ZONE, 0, false},
	{F_TIMEZONE_TEXT_TIMESTAMP, 1, STEP_NAMED_ZONE, 0, false},
	{F_TIMEZONE_INTERVAL_TIMESTAMPTZ, 1, STEP_PLAIN, -1, false},
	{F_TIMEZONE_INTERVAL_TIMESTAMP, 1, STEP_PLAIN, -1, false},
#if PG_VERSION_NUM >= 170000
	{F_TIMEZONE_TIMESTAMPTZ, 0, STEP_SESSION_ZONE, -1, false},
	{F_TIMEZONE_TIMESTAMP, 0, STEP_SESSION_ZONE, -1, false},
#endif
	{F_EXTRACT_TEXT_TIMESTAMPTZ, 1, STEP_ZONED_UNIT, 0, false},
	{F_EXTRACT_TEXT_TIMESTAMP, 1, STEP_UNIT, 0, false},
	{F_EXTRACT_TEXT_DATE, 1, STEP_UNIT, 0, false},
	{F_DATE_PART_TEXT_TIMESTAMPTZ, 1, STEP_ZONED_UNIT, 0, false},
	{F_DATE_PART_TEXT_TIMESTAMP, 1, STEP_UNIT, 0, false},
	{F_DATE_PART_TEXT_DATE, 1, STEP_UNIT, 0, false},
	{F_TIMESTAMPTZ_PL_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_TIMESTAMPTZ_MI_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_TIMESTAMP_PL_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_TIMESTAMP_MI_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_DATE_PL_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_DATE_MI_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_DATE_PLI, 0, STEP_PLAIN, -1, false},
	{F_DATE_MII, 0, STEP_PLAIN, -1, false},
	{F_TIMESTAMPTZ_MI, 0, STEP_PLAIN, -1, false},
	{F_TIMESTAMPTZ_MI, 1, STEP_PLAIN, -1, true},
	{F_TIMESTAMP_MI, 0, STEP_PLAIN, -1, false},
	{F_TIMESTAMP_MI, 1, STEP_PLAIN, -1, true},
	{F_DATE_MI, 0, STEP_PLAIN, -1, false},
	{F_DATE_MI, 1, STEP_PLAIN, -1, true},
	{F_INT8_NUMERIC, 0, STEP_PLAIN, -1, false},
	{F_INT4_NUMERIC, 0, STEP_PLAIN, -1, false},
	{F_FLOAT8_NUMERIC, 0, STEP_PLAIN, -1, false},
	{F_INT8_FLOAT8, 0, STEP_PLAIN, -1, false},
	{F_INT4_FLOAT8, 0, STEP_PLAIN, -1, false},
	{F_NUMERIC_FLOAT8, 0, STEP_PLAIN, -1, false},
	{F_FLOOR_NUMERIC, 0, STEP_PLAIN, -1, false},
	{F_FLOOR_FLOAT8, 0, STEP_PLAIN, -1, false},
};

/* Units whose number only grows with time. */
static const char *const rising_units[] = {"epoch", "year", "isoyear", "decade", "century", "millennium", "julian"};

/* What is learnt on the way from the condition to the column. */
typedef struct Way
{
	Var		   *column;
	List	   *zones;			/* of String; "" is the session's */
	bool		loose;
	bool		falls;
} Way;

/* constant_text returns the text of a constant argument, or NULL. */
static char *
constant_text(Node *node)
{
	Const	   *constant = (Const *) node;

	if (!IsA(node, Const) || constant->constisnull || constant->consttype != TEXTOID)
		return NULL;
	return TextDatumGetCString(constant->constvalue);
}

/* note_zone adds a zone to the way; one that only execution will tell is always near a change. */
static void
note_zone(Way *way, Node *argument)
{
	char	   *name = argument ? constant_text(argument) : "";

	if (name)
		way->zones = lappend(way->zones, makeString(name));
	else
		way->loose = true;
}

/* note_unit returns whether a unit rises with time, and notes the zone that it goes by. */
static bool
note_unit(Way *way, Node *argument, bool zoned)
{
	char	   *name = constant_text(argument);

	for (size_t i = 0; name && i < lengthof(rising_units); i++)
		if (pg_strcasecmp(name, rising_units[i]) == 0)
		{
			if (zoned && i > 0)
				note_zone(way, NULL);
			return true;
		}
	return false;
}

/* note_interval notes whether an interval has days or months, which differ in length. */
static bool
note_interval(Way *way, Node *argument)
{
	Const	   *constant = (Const *) argument;

	if (exprType(argument) != INTERVALOID)
		return false;
	if (!IsA(argument, Const) || constant->constisnull)
		way->loose = true;
	else
	{
		Interval   *interval = DatumGetIntervalP(constant->constvalue);

		way->loose |= interval->day != 0 || interval->month != 0;
	}
	return true;
}

/* note_step returns whether a step keeps the order with these arguments. */
static bool
note_step(Way *way, const Step *step, List *args)
{
	Node	   *other = step->other >= 0 ? list_nth(args, step->other) : NULL;

	way->falls ^= step->falls;
	switch (step->kind)
	{
		case STEP_PLAIN:
			return true;
		case STEP_SESSION_ZONE:
			note_zone(way, NULL);
			return true;
		case STEP_NAMED_ZONE:
			note_zone(way, other);
			return true;
		case STEP_UNIT:
			return note_unit(way, other, false);
		case STEP_ZONED_UNIT:
			return note_unit(way, other, true);
		case STEP_INTERVAL:
			return note_interval(way, other);
	}
	return false;
}

/* call_of returns the function and arguments of a call or operator. */
static bool
call_of(Node *node, Oid *function, List **args)
{
	if (IsA(node, FuncExpr))
	{
		*function = ((FuncExpr *) node)->funcid;
		*args = ((FuncExpr *) node)->args;
		return true;
	}
	if (IsA(node, OpExpr))
	{
		set_opfuncid((OpExpr *) node);
		*function = ((OpExpr *) node)->opfuncid;
		*args = ((OpExpr *) node)->args;
		return true;
	}
	return false;
}

/*
 * with_instant copies an expression with a CaseTestExpr for the column. It
 * returns NULL when there is a step that is not known to keep the order.
 */
static Node *
with_instant(PlannerInfo *root, RelOptInfo *rel, Node *node, Way *way)
{
	Oid			function;
	List	   *args;

	if (IsA(node, Var))
	{
		CaseTestExpr *instant;

		way->column = host_plain_var(node, rel);
		if (!way->column || way->column->vartype != TIMESTAMPTZOID)
			return NULL;
		instant = makeNode(CaseTestExpr);
		instant->typeId = TIMESTAMPTZOID;
		instant->typeMod = -1;
		return (Node *) instant;
	}
	if (!call_of(node, &function, &args))
		return NULL;
	for (size_t i = 0; i < lengthof(steps); i++)
	{
		const Step *step = &steps[i];
		Node	   *moving;
		Node	   *copy;
		ListCell   *cell;

		if (step->function != function ||
			!bms_is_member(rel->relid, pull_varnos(root, list_nth(args, step->moving))))
			continue;
		foreach(cell, args)
			if (foreach_current_index(cell) != step->moving &&
				!host_is_constant(root, rel, lfirst(cell)))
				return NULL;
		moving = with_instant(root, rel, list_nth(args, step->moving), way);
		if (!moving || !note_step(way, step, args))
			return NULL;
		copy = copyObject(node);
		call_of(copy, &function, &args);
		lfirst(list_nth_cell(args, step->moving)) = moving;
		return copy;
	}
	return NULL;
}

/* bound makes the qual "column op instant", the instant being where the condition turns. */
static HostQual *
bound(const Way *way, HostOp op, Oid opno, Node *left, Node *right, Oid collation)
{
	HostQual   *qual = palloc0(sizeof(HostQual));

	qual->attno = way->column->varattno;
	qual->op = op;
	qual->right_type = InvalidOid;
	qual->right = make_opclause(opno, BOOLOID, false, (Expr *) left, (Expr *) copyObject(right),
								InvalidOid, collation);
	set_opfuncid((OpExpr *) qual->right);
	qual->zones = way->zones;
	qual->loose = way->loose;
	return qual;
}

/* host_recognise_shape recognises "function of the column op constant"; NIL when it is none. */
List *
host_recognise_shape(PlannerInfo *root, RelOptInfo *rel, Oid opno, Node *left, Node *right,
					 Oid collation)
{
	Way			way = {0};
	Node	   *tried = with_instant(root, rel, left, &way);
	TypeCacheEntry *type;
	List	   *quals = NIL;
	Oid			left_type;
	Oid			right_type;
	int			strategy;

	if (!tried || IsA(tried, CaseTestExpr) || !host_is_constant(root, rel, right))
		return NIL;
	type = lookup_type_cache(exprType(tried), TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(type->btree_opf) || !op_in_opfamily(opno, type->btree_opf))
		return NIL;
	get_op_opfamily_properties(opno, type->btree_opf, false, &strategy, &left_type, &right_type);
	if (strategy == BTEqualStrategyNumber)
	{
		for (strategy = BTLessEqualStrategyNumber; strategy <= BTGreaterEqualStrategyNumber; strategy += 2)
		{
			Oid			half = get_opfamily_member(type->btree_opf, left_type, right_type, strategy);
			bool		is_low = (strategy == BTGreaterEqualStrategyNumber) != way.falls;

			if (!OidIsValid(half))
				return NIL;
			quals = lappend(quals, bound(&way, is_low ? HOST_GE : HOST_LE, half, tried, right, collation));
		}
		return quals;
	}
	return list_make1(bound(&way, (strategy >= BTGreaterEqualStrategyNumber) != way.falls ? HOST_GE : HOST_LE,
							opno, tried, right, collation));
}

/* is_near_change returns whether the clock of a zone changes about an instant. */
static bool
is_near_change(const char *name, TimestampTz instant)
{
	pg_tz	   *zone = name[0] ? pg_tzset(name) : session_timezone;
	pg_time_t	from = timestamptz_to_time_t(instant) - NEAR_S;
	pg_time_t	change;
	long int	before_offset;
	long int	after_offset;
	int			before_is_dst;
	int			after_is_dst;
	int			found;

	if (!zone)
		return true;
	found = pg_next_dst_boundary(&from, &before_offset, &before_is_dst, &change,
								 &after_offset, &after_is_dst, zone);
	return found < 0 || (found > 0 && change <= from + 2 * NEAR_S);
}

/* slack_us returns by how much a range must be widened at an instant. */
static int64
slack_us(const HostQual *qual, TimestampTz instant)
{
	ListCell   *cell;

	if (qual->loose)
		return LOOSE_US;
	foreach(cell, qual->zones)
		if (is_near_change(strVal(lfirst(cell)), instant))
			return SLACK_US;
	return 0;
}

/* holds returns whether the condition holds at an instant. */
static bool
holds(ExprState *condition, ExprContext *context, int64 instant, bool *isnull)
{
	context->caseValue_datum = TimestampTzGetDatum(instant);
	context->caseValue_isNull = false;
	return DatumGetBool(ExecEvalExprSwitchContext(condition, context, isnull)) && !*isnull;
}

/* makes_integer returns whether an expression casts to integer, which fails for what does not fit. */
static bool
makes_integer(Node *node, void *context)
{
	if (!node)
		return false;
	if (IsA(node, FuncExpr) &&
		(((FuncExpr *) node)->funcid == F_INT4_NUMERIC || ((FuncExpr *) node)->funcid == F_INT4_FLOAT8))
		return true;
	return expression_tree_walker(node, makes_integer, context);
}

/*
 * host_turning_point returns the instant that bounds the column, infinite when
 * there is none. Beyond the instants that an integer allows the condition is
 * not tried: when it holds there at most, the bound is the last one tried.
 */
HostValue
host_turning_point(const HostQual *qual, ExprState *condition, ExprContext *context)
{
	HostValue	value = {.kind = HOST_NULL};
	bool		rises = qual->op == HOST_GE;
	bool		narrow = makes_integer((Node *) qual->right, NULL);
	int64		low = narrow ? INTEGER_FIRST_US : FIRST_US;
	int64		high = narrow ? INTEGER_LAST_US : LAST_US;
	bool		isnull;
	bool		at_low = holds(condition, context, low, &isnull);
	bool		at_high = !isnull && holds(condition, context, high, &isnull);

	if (isnull)
		return value;
	if (at_low == at_high && (at_low || !narrow))
	{
		value.kind = HOST_FLOAT;
		value.real = at_low == rises ? -INFINITY : INFINITY;
		return value;
	}
	while (at_low != at_high && high - low > 1)
	{
		int64		middle = low + (high - low) / 2;

		if (holds(condition, context, middle, &isnull) == at_high)
			high = middle;
		else
			low = middle;
	}
	value.kind = HOST_INT;
	value.integer = (rises ? high - slack_us(qual, high) : low + slack_us(qual, low)) + HOST_UNIX_EPOCH_OFFSET_US;
	return value;
}

/* host_planned_turning_point does so while planning, for a condition without parameters. */
HostValue
host_planned_turning_point(const HostQual *qual, Node *condition)
{
	EState	   *state = CreateExecutorState();
	ExprState  *prepared = ExecPrepareExpr((Expr *) condition, state);
	HostValue	value = host_turning_point(qual, prepared, GetPerTupleExprContext(state));

	FreeExecutorState(state);
	return value;
}
