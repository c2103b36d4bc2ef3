/*
 * steps.c
 *    The functions that keep the order of times, and how roughly they do so.
 *
 * date_trunc, casts, time zones and intervals never let a later time become an
 * earlier one, but for two things: where a clock is set back, local time
 * repeats, and months differ in length. HostOrder says how far apart two times
 * can be that come out in the wrong order.
 *
 * A shape is walked from its outermost function towards the column: what the
 * functions passed so far do wrong is carried through the next one. Rounding
 * to units that lie further apart than that undoes it.
 */
#include "host.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

/* No clock was ever set by more. */
#define CLOCK_H 26

/* Times that are this far apart at most can change their order when months are added. */
#define MONTHS_H (5 * 24)

#define DAY_H 24
#define LONGEST_MONTH_H (31 * 24)

/* Further than this is anywhere. */
#define FAR_H (1000 * 366 * 24)

typedef enum StepKind
{
	STEP_PLAIN,
	STEP_SECOND,				/* rounds to a part of a second */
	STEP_DAY,					/* rounds to a day */
	STEP_SESSION_DAY,			/* likewise, after the session's clock was read */
	STEP_TRUNC,					/* rounds to the unit of argument `other` */
	STEP_SESSION_TRUNC,			/* likewise, by the session's clock */
	STEP_NAMED_TRUNC,			/* likewise, by the clock of the zone in the argument after the column */
	STEP_BIN,					/* rounds to the interval of argument `other` */
	STEP_SESSION_ZONE,			/* reads or sets the session's clock */
	STEP_NAMED_ZONE,			/* likewise of the zone of argument `other` */
	STEP_OFFSET,				/* a time zone that is an interval: argument `other` */
	STEP_UNIT,					/* the number of the unit of argument `other` */
	STEP_SESSION_UNIT,			/* likewise, by the session's clock */
	STEP_DAYS,					/* adds the days of argument `other`, an integer */
	STEP_INTERVAL,				/* adds the interval of argument `other` */
	STEP_SESSION_INTERVAL		/* likewise, days and months by the session's clock */
} StepKind;

struct HostStep
{
	Oid			function;
	int			moving;			/* the argument whose order is kept */
	StepKind	kind;
	int			other;
	bool		falls;			/* the order is reversed */
};

static const HostStep steps[] = {
	{F_DATE_TIMESTAMPTZ, 0, STEP_SESSION_DAY, -1, false},
	{F_DATE_TIMESTAMP, 0, STEP_DAY, -1, false},
	{F_TIMESTAMP_TIMESTAMPTZ, 0, STEP_SESSION_ZONE, -1, false},
	{F_TIMESTAMP_DATE, 0, STEP_PLAIN, -1, false},
	{F_TIMESTAMP_TIMESTAMP_INT4, 0, STEP_SECOND, -1, false},
	{F_TIMESTAMPTZ_TIMESTAMP, 0, STEP_SESSION_ZONE, -1, false},
	{F_TIMESTAMPTZ_DATE, 0, STEP_SESSION_ZONE, -1, false},
	{F_TIMESTAMPTZ_TIMESTAMPTZ_INT4, 0, STEP_SECOND, -1, false},
	{F_DATE_TRUNC_TEXT_TIMESTAMPTZ, 1, STEP_SESSION_TRUNC, 0, false},
	{F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT, 1, STEP_NAMED_TRUNC, 0, false},
	{F_DATE_TRUNC_TEXT_TIMESTAMP, 1, STEP_TRUNC, 0, false},
	{F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ, 1, STEP_BIN, 0, false},
	{F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP, 1, STEP_BIN, 0, false},
	{F_TIMEZONE_TEXT_TIMESTAMPTZ, 1, STEP_NAMED_ZONE, 0, false},
	{F_TIMEZONE_TEXT_TIMESTAMP, 1, STEP_NAMED_ZONE, 0, false},
	{F_TIMEZONE_INTERVAL_TIMESTAMPTZ, 1, STEP_OFFSET, 0, false},
	{F_TIMEZONE_INTERVAL_TIMESTAMP, 1, STEP_OFFSET, 0, false},
#if PG_VERSION_NUM >= 170000
	{F_TIMEZONE_TIMESTAMPTZ, 0, STEP_SESSION_ZONE, -1, false},
	{F_TIMEZONE_TIMESTAMP, 0, STEP_SESSION_ZONE, -1, false},
#endif
	{F_EXTRACT_TEXT_TIMESTAMPTZ, 1, STEP_SESSION_UNIT, 0, false},
	{F_EXTRACT_TEXT_TIMESTAMP, 1, STEP_UNIT, 0, false},
	{F_EXTRACT_TEXT_DATE, 1, STEP_UNIT, 0, false},
	{F_DATE_PART_TEXT_TIMESTAMPTZ, 1, STEP_SESSION_UNIT, 0, false},
	{F_DATE_PART_TEXT_TIMESTAMP, 1, STEP_UNIT, 0, false},
	{F_DATE_PART_TEXT_DATE, 1, STEP_UNIT, 0, false},
	{F_TIMESTAMPTZ_PL_INTERVAL, 0, STEP_SESSION_INTERVAL, 1, false},
	{F_TIMESTAMPTZ_MI_INTERVAL, 0, STEP_SESSION_INTERVAL, 1, false},
	{F_TIMESTAMP_PL_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_TIMESTAMP_MI_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_DATE_PL_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_DATE_MI_INTERVAL, 0, STEP_INTERVAL, 1, false},
	{F_DATE_PLI, 0, STEP_DAYS, 1, false},
	{F_DATE_MII, 0, STEP_DAYS, 1, false},
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
	{F_TRUNC_NUMERIC_INT4, 0, STEP_PLAIN, -1, false},
	{F_TRUNC_FLOAT8, 0, STEP_PLAIN, -1, false},
};

/* Units whose number only grows with time. The first goes by no clock. */
static const char *const rising_units[] = {"epoch", "year", "isoyear", "decade", "century", "millennium", "julian"};

/* A unit that times are rounded to: how far its starts lie apart at least and at most. */
typedef struct Grid
{
	const char *unit;
	int			shortest_h;
	int			longest_h;
} Grid;

static const Grid grids[] = {
	{"microsecond", 0, 1}, {"microseconds", 0, 1}, {"millisecond", 0, 1}, {"milliseconds", 0, 1},
	{"second", 0, 1}, {"minute", 0, 1}, {"hour", 0, 1},
	{"day", DAY_H, DAY_H},
	{"week", 7 * DAY_H, 7 * DAY_H},
	{"month", 28 * DAY_H, LONGEST_MONTH_H},
	{"quarter", 90 * DAY_H, 92 * DAY_H},
	{"year", 365 * DAY_H, 366 * DAY_H},
};

/* constant_text returns the text of a constant argument, or NULL. */
static char *
constant_text(Node *node)
{
	Const	   *constant = (Const *) node;

	if (!IsA(node, Const) || constant->constisnull || constant->consttype != TEXTOID)
		return NULL;
	return TextDatumGetCString(constant->constvalue);
}

/* constant_interval returns the interval of a constant argument, or NULL. */
static Interval *
constant_interval(Node *node)
{
	Const	   *constant = (Const *) node;

	if (!IsA(node, Const) || constant->constisnull || constant->consttype != INTERVALOID)
		return NULL;
	return DatumGetIntervalP(constant->constvalue);
}

static int64
magnitude(int64 number)
{
	return number < 0 ? -number : number;
}

/* length_h returns how long an interval is at most, either way. */
static int64
length_h(const Interval *interval)
{
	return magnitude(interval->month) * LONGEST_MONTH_H + magnitude(interval->day) * DAY_H +
		magnitude(interval->time / USECS_PER_HOUR) + 1;
}

/* move takes note that the clocks read so far are read that far from the next argument. */
static void
move(HostOrder *order, int64 hours)
{
	if (order->zones == NIL || order->reach_h == HOST_ANYWHERE)
		return;
	order->reach_h = hours > FAR_H - order->reach_h ? HOST_ANYWHERE : order->reach_h + (int) hours;
}

/* read_clock takes note of a clock that is read or set; which it is, only execution may tell. */
static void
read_clock(HostOrder *order, const char *zone)
{
	move(order, CLOCK_H);
	order->zones = lappend(order->zones, makeString(pstrdup(zone ? zone : "")));
	if (!zone)
		order->reach_h = HOST_ANYWHERE;
	order->change_loose_h += CLOCK_H;
}

/*
 * round_to takes note of rounding. Where units lie further apart than times in
 * the wrong order, also by a clock that changes, no wrong order is left.
 */
static void
round_to(HostOrder *order, int64 shortest_h, int64 longest_h)
{
	if (order->change_loose_h < shortest_h - CLOCK_H)
	{
		memset(order, 0, sizeof(HostOrder));
		return;
	}
	move(order, longest_h);
	if (order->loose_h > 0)
		order->loose_h += (int) longest_h;
	if (order->change_loose_h > 0)
		order->change_loose_h += (int) longest_h;
}

/* round_to_unit returns whether it is known what rounding to a unit does. */
static bool
round_to_unit(HostOrder *order, Node *argument)
{
	char	   *unit = constant_text(argument);

	if (order->change_loose_h == 0)
		return true;
	for (size_t i = 0; unit && i < lengthof(grids); i++)
		if (pg_strcasecmp(unit, grids[i].unit) == 0)
		{
			round_to(order, grids[i].shortest_h, grids[i].longest_h);
			return true;
		}
	return false;
}

/* round_to_stride returns whether it is known what rounding to an interval does. */
static bool
round_to_stride(HostOrder *order, Node *argument)
{
	Interval   *stride = constant_interval(argument);

	if (order->change_loose_h == 0)
		return true;
	if (!stride || length_h(stride) > FAR_H)
		return false;
	round_to(order, length_h(stride) - 1, length_h(stride));
	return true;
}

/* add takes note of an interval that is added. */
static bool
add(HostOrder *order, Node *argument, bool by_clock)
{
	Interval   *interval = constant_interval(argument);

	if (exprType(argument) != INTERVALOID)
		return false;
	if (by_clock && (!interval || interval->month != 0 || interval->day != 0))
	{
		/* To local time, and back from it. */
		read_clock(order, "");
		read_clock(order, "");
	}
	move(order, interval ? length_h(interval) : FAR_H);
	if (!interval || interval->month != 0)
	{
		order->loose_h += MONTHS_H;
		order->change_loose_h += MONTHS_H;
	}
	return true;
}

/* rises returns whether the number of a unit rises with time. */
static bool
rises(HostOrder *order, Node *argument, bool by_clock)
{
	char	   *name = constant_text(argument);

	for (size_t i = 0; name && i < lengthof(rising_units); i++)
		if (pg_strcasecmp(name, rising_units[i]) == 0)
		{
			if (by_clock && i > 0)
				read_clock(order, "");
			return true;
		}
	return false;
}

/* host_find_step returns what is known of a call that has the column in one argument, or NULL. */
const HostStep *
host_find_step(PlannerInfo *root, RelOptInfo *rel, Oid function, List *args)
{
	for (size_t i = 0; i < lengthof(steps); i++)
	{
		const HostStep *step = &steps[i];
		bool		fits = step->function == function;
		ListCell   *cell;

		foreach(cell, args)
			if (fits)
				fits = foreach_current_index(cell) == step->moving
					? bms_is_member(rel->relid, pull_varnos(root, lfirst(cell)))
					: host_is_constant(root, rel, lfirst(cell));
		if (fits)
			return step;
	}
	return NULL;
}

/* host_step_argument returns the number of the argument whose order is kept, and whether it is reversed. */
int
host_step_argument(const HostStep *step, bool *falls)
{
	*falls = step->falls;
	return step->moving;
}

/* pass_step carries `order` through a step with these arguments; false: it keeps no order. */
static bool
pass_step(HostOrder *order, const HostStep *step, List *args)
{
	Node	   *other = step->other >= 0 ? list_nth(args, step->other) : NULL;
	Interval   *offset;

	switch (step->kind)
	{
		case STEP_PLAIN:
			return true;
		case STEP_SECOND:
			round_to(order, 0, 1);
			return true;
		case STEP_SESSION_DAY:
		case STEP_DAY:
			round_to(order, DAY_H, DAY_H);
			if (step->kind == STEP_SESSION_DAY)
				read_clock(order, "");
			return true;
		case STEP_TRUNC:
			return round_to_unit(order, other);
		case STEP_SESSION_TRUNC:
		case STEP_NAMED_TRUNC:
			if (!round_to_unit(order, other))
				return false;
			read_clock(order, step->kind == STEP_SESSION_TRUNC ? "" : constant_text(list_nth(args, step->moving + 1)));
			return true;
		case STEP_BIN:
			return round_to_stride(order, other);
		case STEP_SESSION_ZONE:
			read_clock(order, "");
			return true;
		case STEP_NAMED_ZONE:
			read_clock(order, constant_text(other));
			return true;
		case STEP_OFFSET:
			offset = constant_interval(other);
			move(order, offset ? length_h(offset) : FAR_H);
			return true;
		case STEP_UNIT:
			return rises(order, other, false);
		case STEP_SESSION_UNIT:
			return rises(order, other, true);
		case STEP_DAYS:
			move(order, IsA(other, Const) && !((Const *) other)->constisnull
				 ? magnitude(DatumGetInt32(((Const *) other)->constvalue)) * DAY_H : FAR_H);
			return true;
		case STEP_INTERVAL:
			return add(order, other, false);
		case STEP_SESSION_INTERVAL:
			return add(order, other, true);
	}
	return false;
}

/*
 * host_pass_step carries `order` through a step with these arguments; false: it
 * keeps no order, or none that is worth knowing. So the hours never overflow.
 */
bool
host_pass_step(HostOrder *order, const HostStep *step, List *args)
{
	return pass_step(order, step, args) && order->change_loose_h <= FAR_H && order->loose_h <= FAR_H;
}
