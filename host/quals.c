/*
 * quals.c
 *    Recognises conditions on one column that every row must meet, so that
 *    Python can narrow its requests. PostgreSQL checks every row again, so what
 *    is not recognised costs rows, never answers.
 */
#include "host.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

const char *const host_op_names[] = {"=", "<", "<=", ">", ">=", "in", "is null", "is not null"};

/* plain_var returns node as a column of rel, seen through casts that change no bits, or NULL. */
static Var *
plain_var(Node *node, RelOptInfo *rel)
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

/* is_constant returns whether an expression has one value for the whole scan. */
static bool
is_constant(PlannerInfo *root, Node *node)
{
	return bms_is_empty(pull_varnos(root, node)) &&
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

/* comparison recognises "column op constant" and "constant op column". */
static HostQual *
comparison(PlannerInfo *root, RelOptInfo *rel, OpExpr *expr)
{
	HostQual   *qual;
	Node	   *left;
	Node	   *right;
	Oid			opno = expr->opno;
	Var		   *var;

	if (list_length(expr->args) != 2)
		return NULL;
	qual = palloc0(sizeof(HostQual));
	left = linitial(expr->args);
	right = lsecond(expr->args);
	var = plain_var(left, rel);
	if (!var)
	{
		Node	   *swap = left;

		left = right;
		right = swap;
		opno = get_commutator(opno);
		var = plain_var(left, rel);
	}
	if (!var || !OidIsValid(opno) || !is_constant(root, right) ||
		!btree_op(opno, expr->inputcollid, var, &qual->op, &qual->right_type))
		return NULL;
	qual->attno = var->varattno;
	qual->right = (Expr *) right;
	return qual;
}

/* any_of recognises "column = ANY (array)", which IN is. */
static HostQual *
any_of(PlannerInfo *root, RelOptInfo *rel, ScalarArrayOpExpr *expr)
{
	HostQual   *qual = palloc0(sizeof(HostQual));
	Var		   *var = plain_var(linitial(expr->args), rel);
	Node	   *right = lsecond(expr->args);

	if (!expr->useOr || !var || !is_constant(root, right) ||
		!btree_op(expr->opno, expr->inputcollid, var, &qual->op, &qual->right_type) ||
		qual->op != HOST_EQ ||
		get_element_type(exprType(right)) != qual->right_type)
		return NULL;
	qual->op = HOST_IN;
	qual->attno = var->varattno;
	qual->right = (Expr *) right;
	return qual;
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
		return without_value(plain_var(node, rel), HOST_EQ, true);
	if (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == NOT_EXPR)
	{
		node = linitial(((BoolExpr *) node)->args);
		return without_value(IsA(node, Var) ? plain_var(node, rel) : NULL, HOST_EQ, false);
	}
	if (IsA(node, BooleanTest))
	{
		BooleanTest *test = (BooleanTest *) node;

		if (test->booltesttype == IS_TRUE || test->booltesttype == IS_FALSE)
			return without_value(plain_var((Node *) test->arg, rel), HOST_EQ,
								 test->booltesttype == IS_TRUE);
	}
	return NULL;
}

/* recognise_one returns the qual that a clause is, or NULL. */
static HostQual *
recognise_one(PlannerInfo *root, RelOptInfo *rel, Node *node)
{
	if (IsA(node, OpExpr))
		return comparison(root, rel, (OpExpr *) node);
	if (IsA(node, ScalarArrayOpExpr))
		return any_of(root, rel, (ScalarArrayOpExpr *) node);
	if (IsA(node, NullTest) && !((NullTest *) node)->argisrow)
	{
		NullTest   *test = (NullTest *) node;

		return without_value(plain_var((Node *) test->arg, rel),
							 test->nulltesttype == IS_NULL ? HOST_IS_NULL : HOST_IS_NOT_NULL, true);
	}
	return bool_column(rel, node);
}

/* host_recognise returns a list of HostQual for those clauses that are of a known shape. */
List *
host_recognise(PlannerInfo *root, RelOptInfo *rel, List *clauses)
{
	List	   *quals = NIL;
	ListCell   *cell;

	foreach(cell, clauses)
	{
		HostQual   *qual = recognise_one(root, rel, lfirst(cell));

		if (qual)
			quals = lappend(quals, qual);
	}
	return quals;
}

/* host_python_quals returns a list of (column, operator, value), or NULL with an exception set. */
PyObject *
host_python_quals(const HostTable *table, const HostQual *quals, const HostValue *values, int n)
{
	PyObject   *list = PyList_New(n);

	for (int i = 0; list && i < n; i++)
	{
		PyObject   *value = host_python_value(&values[i]);
		PyObject   *qual = value ? Py_BuildValue("(ssN)", table->names[quals[i].attno - 1],
												 host_op_names[quals[i].op], value) : NULL;

		if (!qual)
			Py_CLEAR(list);
		else
			PyList_SET_ITEM(list, i, qual);
	}
	return list;
}
