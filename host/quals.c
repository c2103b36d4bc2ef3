/*
 * quals.c
 *    Recognises conditions on one column that every row must meet, so that
 *    Python can narrow its requests. PostgreSQL checks every row again, so what
 *    is not recognised costs rows, never answers.
 */
#include "host.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* Longer ORs are left to PostgreSQL: each branch would be a request or more. */
#define MAX_BRANCHES 64

/* host_plain_var returns node as a column of rel, seen through casts that change no bits, or NULL. */
Var *
host_plain_var(Node *node, RelOptInfo *rel)
{
	Var		   *var;

	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (!node || !IsA(node, Var))
		return NULL;
	var = (Var *) node;
	if ((Index) var->varno != rel->relid || var->varlevelsup != 0 || var->varattno <= 0)
		return NULL;
	return var;
}

/*
 * host_is_constant returns whether an expression has one value for one run of
 * the scan: of other tables' columns it may depend, as those of a join's outer
 * side are parameters.
 */
bool
host_is_constant(PlannerInfo *root, RelOptInfo *rel, Node *node)
{
	return !bms_is_member(rel->relid, pull_varnos(root, node)) &&
		!contain_volatile_functions(node) &&
		!contain_subplans(node);
}

/*
 * btree_op finds what an operator means for a column: PostgreSQL's own default
 * ordering of the column's type, under a deterministic collation.
 */
static bool
btree_op(Oid opno, Oid collation, Var *var, HostOp *op, Oid *right_type)
{
	static const HostOp by_strategy[] = {
		[BTLessStrategyNumber] = HOST_LT,
		[BTLessEqualStrategyNumber] = HOST_LE,
		[BTEqualStrategyNumber] = HOST_EQ,
		[BTGreaterEqualStrategyNumber] = HOST_GE,
		[BTGreaterStrategyNumber] = HOST_GT,
	};
	TypeCacheEntry *type = lookup_type_cache(var->vartype, TYPECACHE_BTREE_OPFAMILY);
	Oid			left_type;
	int			strategy;

	if (!OidIsValid(type->btree_opf) || !op_in_opfamily(opno, type->btree_opf))
		return false;
	get_op_opfamily_properties(opno, type->btree_opf, false, &strategy, &left_type, right_type);
	if (left_type != var->vartype || !host_type_is_supported(left_type) ||
		!host_type_is_supported(*right_type))
		return false;
	if (OidIsValid(collation) &&
		(strategy != BTEqualStrategyNumber || !get_collation_isdeterministic(collation)))
		return false;
	*op = by_strategy[strategy];
	return true;
}

/* plain_comparison recognises "column op constant". */
static HostQual *
plain_comparison(PlannerInfo *root, RelOptInfo *rel, Oid opno, Node *left, Node *right, Oid collation)
{
	HostQual   *qual = palloc0(sizeof(HostQual));
	Var		   *var = host_plain_var(left, rel);

	if (!var || !host_is_constant(root, rel, right) ||
		!btree_op(opno, collation, var, &qual->op, &qual->right_type))
		return NULL;
	qual->attno = var->varattno;
	qual->right = (Expr *) right;
	return qual;
}

/* comparison recognises "x op constant" and "constant op x", x being a column or a shape of one. */
static List *
comparison(PlannerInfo *root, RelOptInfo *rel, OpExpr *expr)
{
	Node	   *left;
	Node	   *right;
	Oid			opno = expr->opno;
	HostQual   *qual;

	if (list_length(expr->args) != 2)
		return NIL;
	left = linitial(expr->args);
	right = lsecond(expr->args);
	if (!bms_is_member(rel->relid, pull_varnos(root, left)))
	{
		Node	   *swap = left;

		left = right;
		right = swap;
		opno = get_commutator(opno);
	}
	if (!OidIsValid(opno))
		return NIL;
	qual = plain_comparison(root, rel, opno, left, right, expr->inputcollid);
	return qual ? list_make1(qual) :
		host_recognise_shape(root, rel, opno, left, right, expr->inputcollid);
}

/* any_of_shape recognises "shape = ANY (constant array)" as an OR of equalities. */
static List *
any_of_shape(PlannerInfo *root, RelOptInfo *rel, ScalarArrayOpExpr *expr)
{
	Const	   *array = lsecond(expr->args);
	HostQual   *either = palloc0(sizeof(HostQual));
	Oid			type;
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *datums;
	bool	   *nulls;
	int			n;

	if (!IsA(array, Const) || array->constisnull)
		return NIL;
	type = get_element_type(array->consttype);
	if (!OidIsValid(type))
		return NIL;
	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(DatumGetArrayTypeP(array->constvalue), type, length, by_value, align, &datums, &nulls, &n);
	either->op = HOST_OR;
	for (int i = 0; i < n && n <= MAX_BRANCHES; i++)
	{
		Const	   *item = makeConst(type, -1, array->constcollid, length, datums[i], nulls[i], by_value);
		List	   *branch = host_recognise_shape(root, rel, expr->opno, linitial(expr->args),
												  (Node *) item, expr->inputcollid);

		if (!branch)
			return NIL;
		either->branches = lappend(either->branches, branch);
	}
	return either->branches ? list_make1(either) : NIL;
}

/* any_of recognises "column = ANY (array)", which IN is. */
static List *
any_of(PlannerInfo *root, RelOptInfo *rel, ScalarArrayOpExpr *expr)
{
	HostQual   *qual = palloc0(sizeof(HostQual));
	Var		   *var = host_plain_var(linitial(expr->args), rel);
	Node	   *right = lsecond(expr->args);

	if (!expr->useOr)
		return NIL;
	if (!var)
		return any_of_shape(root, rel, expr);
	if (!host_is_constant(root, rel, right) ||
		!btree_op(expr->opno, expr->inputcollid, var, &qual->op, &qual->right_type) ||
		qual->op != HOST_EQ ||
		get_element_type(exprType(right)) != qual->right_type)
		return NIL;
	qual->op = HOST_IN;
	qual->attno = var->varattno;
	qual->right = (Expr *) right;
	return list_make1(qual);
}

/* without_value makes a qual that needs no right-hand side; a constant keeps the lists in step. */
static HostQual *
without_value(Var *var, HostOp op, bool value)
{
	HostQual   *qual;

	if (!var)
		return NULL;
	qual = palloc0(sizeof(HostQual));
	qual->attno = var->varattno;
	qual->op = op;
	qual->right_type = BOOLOID;
	qual->right = (Expr *) makeBoolConst(value, false);
	return qual;
}

/* bool_column recognises a boolean column used as a condition, negated or not. */
static HostQual *
bool_column(RelOptInfo *rel, Node *node)
{
	if (IsA(node, Var))
		return without_value(host_plain_var(node, rel), HOST_EQ, true);
	if (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == NOT_EXPR)
	{
		node = linitial(((BoolExpr *) node)->args);
		return without_value(IsA(node, Var) ? host_plain_var(node, rel) : NULL, HOST_EQ, false);
	}
	if (IsA(node, BooleanTest))
	{
		BooleanTest *test = (BooleanTest *) node;

		if (test->booltesttype == IS_TRUE || test->booltesttype == IS_FALSE)
			return without_value(host_plain_var((Node *) test->arg, rel), HOST_EQ,
								 test->booltesttype == IS_TRUE);
	}
	return NULL;
}

/* either_of recognises an OR when each of its branches says something of rel's columns. */
static List *
either_of(PlannerInfo *root, RelOptInfo *rel, BoolExpr *expr)
{
	HostQual   *either = palloc0(sizeof(HostQual));
	ListCell   *cell;

	if (list_length(expr->args) > MAX_BRANCHES)
		return NIL;
	either->op = HOST_OR;
	foreach(cell, expr->args)
	{
		List	   *branch = host_recognise(root, rel, make_ands_implicit(lfirst(cell)));

		if (!branch)
			return NIL;
		either->branches = lappend(either->branches, branch);
	}
	return list_make1(either);
}

/* recognise_one returns the quals that a clause is or implies; NIL when there are none. */
static List *
recognise_one(PlannerInfo *root, RelOptInfo *rel, Node *node)
{
	HostQual   *qual;

	if (IsA(node, OpExpr))
		return comparison(root, rel, (OpExpr *) node);
	if (IsA(node, ScalarArrayOpExpr))
		return any_of(root, rel, (ScalarArrayOpExpr *) node);
	if (is_orclause(node))
		return either_of(root, rel, (BoolExpr *) node);
	if (is_andclause(node))
		return host_recognise(root, rel, ((BoolExpr *) node)->args);
	if (IsA(node, NullTest) && !((NullTest *) node)->argisrow)
	{
		NullTest   *test = (NullTest *) node;

		qual = without_value(host_plain_var((Node *) test->arg, rel),
							 test->nulltesttype == IS_NULL ? HOST_IS_NULL : HOST_IS_NOT_NULL, true);
	}
	else
		qual = bool_column(rel, node);
	return qual ? list_make1(qual) : NIL;
}

/* host_recognise returns a list of HostQual for those clauses that are of a known shape. */
List *
host_recognise(PlannerInfo *root, RelOptInfo *rel, List *clauses)
{
	List	   *quals = NIL;
	ListCell   *cell;

	check_stack_depth();
	foreach(cell, clauses)
		quals = list_concat(quals, recognise_one(root, rel, lfirst(cell)));
	return quals;
}
