/*
 * shapes.c
 *    Conditions on a function of a time column, as reporting tools write them:
 *    created::date = d, date_trunc('month', created) >= t, created at time zone
 *    z < t, extract(epoch from created) > n.
 *
 * The functions known (steps.c) keep the order of times. So such a condition
 * holds from some instant on, or up to one, and turning.c finds that instant:
 * the condition is kept with a CaseTestExpr in the column's place, which stands
 * for the instant tried.
 */
#include "host.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* What is learnt on the way from the condition to the column. */
typedef struct Way
{
	Var		   *column;
	HostOrder	order;
	bool		falls;
} Way;

/* host_called returns whether a node is a call or operator, and its function and arguments. */
bool
host_called(Node *node, Oid *function, List **args)
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

/* instant_of returns what stands for the column, or NULL when that is no time of rel. */
static Node *
instant_of(RelOptInfo *rel, Node *node, Way *way)
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

/*
 * with_instant copies an expression with a CaseTestExpr for the column. It
 * returns NULL when there is a step that is not known to keep the order.
 */
static Node *
with_instant(PlannerInfo *root, RelOptInfo *rel, Node *node, Way *way)
{
	Oid			function;
	List	   *args;
	const HostStep *step;
	bool		falls;
	int			moving;
	Node	   *instant;

	if (IsA(node, Var))
		return instant_of(rel, node, way);
	if (!host_called(node, &function, &args))
		return NULL;
	step = host_find_step(root, rel, function, args);
	if (!step || !host_pass_step(&way->order, step, args))
		return NULL;
	moving = host_step_argument(step, &falls);
	way->falls ^= falls;
	instant = with_instant(root, rel, list_nth(args, moving), way);
	if (!instant)
		return NULL;
	node = copyObject(node);
	host_called(node, &function, &args);
	lfirst(list_nth_cell(args, moving)) = instant;
	return node;
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
	qual->order = way->order;
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
