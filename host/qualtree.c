/*
 * qualtree.c
 *    Recognised quals, which ORs make a tree, on their way: into a plan and out
 *    of it, and to Python.
 */
#include "host.h"

const char *const host_op_names[] = {"=", "<", "<=", ">", ">=", "in", "is null", "is not null", "or"};

/* add_leaves appends the quals that hold a value, and numbers them. */
static List *
add_leaves(List *leaves, List *quals)
{
	ListCell   *cell;
	ListCell   *branch;

	foreach(cell, quals)
	{
		HostQual   *qual = lfirst(cell);

		if (qual->op == HOST_OR)
			foreach(branch, qual->branches)
				leaves = add_leaves(leaves, lfirst(branch));
		else
		{
			qual->number = list_length(leaves);
			leaves = lappend(leaves, qual);
		}
	}
	return leaves;
}

/* host_leaves returns the quals that hold a value, those inside ORs too, in order. */
List *
host_leaves(List *quals)
{
	return add_leaves(NIL, quals);
}

/*
 * host_describe_quals returns quals as nodes that a plan can carry, and appends
 * their right-hand sides to *rights in the order of host_leaves.
 */
List *
host_describe_quals(List *quals, List **rights)
{
	List	   *described = NIL;
	ListCell   *cell;
	ListCell   *branch;

	foreach(cell, quals)
	{
		HostQual   *qual = lfirst(cell);
		List	   *head = list_make3_int(qual->attno, qual->op, (int) qual->right_type);
		List	   *rest = NIL;

		if (qual->op != HOST_OR)
		{
			rest = list_make2(copyObject(qual->order.zones),
							  list_make3_int(qual->order.loose_h, qual->order.change_loose_h, qual->order.reach_h));
			*rights = lappend(*rights, qual->right);
		}
		foreach(branch, qual->branches)
			rest = lappend(rest, host_describe_quals(lfirst(branch), rights));
		described = lappend(described, lcons(head, rest));
	}
	return described;
}

/* read_order reads the order of a described leaf. */
static HostOrder
read_order(List *described)
{
	List	   *hours = lthird(described);
	HostOrder	order = {
		.zones = lsecond(described),
		.loose_h = linitial_int(hours),
		.change_loose_h = lsecond_int(hours),
		.reach_h = lthird_int(hours),
	};

	return order;
}

/* read_quals reads what host_describe_quals wrote; *next is the next right-hand side. */
static List *
read_quals(List *described, List *rights, int *next)
{
	List	   *quals = NIL;
	ListCell   *cell;
	ListCell   *branch;

	foreach(cell, described)
	{
		List	   *head = linitial(lfirst(cell));
		HostQual   *qual = palloc0(sizeof(HostQual));

		qual->attno = list_nth_int(head, 0);
		qual->op = (HostOp) list_nth_int(head, 1);
		qual->right_type = (Oid) list_nth_int(head, 2);
		if (qual->op != HOST_OR)
		{
			qual->order = read_order(lfirst(cell));
			qual->right = list_nth(rights, (*next)++);
		}
		else
			for_each_from(branch, lfirst(cell), 1)
				qual->branches = lappend(qual->branches, read_quals(lfirst(branch), rights, next));
		quals = lappend(quals, qual);
	}
	return quals;
}

/* host_described_quals returns the quals that host_describe_quals described. */
List *
host_described_quals(List *described, List *rights)
{
	int			next = 0;

	return read_quals(described, rights, &next);
}

static PyObject *python_branches(const HostTable *table, List *branches, const HostValue *values);

/* python_qual returns (column, operator, value), or NULL with an exception set. */
static PyObject *
python_qual(const HostTable *table, const HostQual *qual, const HostValue *values)
{
	bool		is_or = qual->op == HOST_OR;
	PyObject   *value = is_or ? python_branches(table, qual->branches, values) :
		host_python_value(&values[qual->number]);

	return value ? Py_BuildValue("(ssN)", is_or ? "" : table->names[qual->attno - 1],
								 host_op_names[qual->op], value) : NULL;
}

/* python_branches returns a list of lists of quals, or NULL with an exception set. */
static PyObject *
python_branches(const HostTable *table, List *branches, const HostValue *values)
{
	PyObject   *list = PyList_New(list_length(branches));

	for (int i = 0; list && i < list_length(branches); i++)
	{
		PyObject   *branch = host_python_quals(table, list_nth(branches, i), values);

		if (!branch)
			Py_CLEAR(list);
		else
			PyList_SET_ITEM(list, i, branch);
	}
	return list;
}

/*
 * host_python_quals returns a list of (column, operator, value), or NULL with
 * an exception set. It raises no PostgreSQL error.
 */
PyObject *
host_python_quals(const HostTable *table, List *quals, const HostValue *values)
{
	PyObject   *list = PyList_New(list_length(quals));

	for (int i = 0; list && i < list_length(quals); i++)
	{
		PyObject   *qual = python_qual(table, list_nth(quals, i), values);

		if (!qual)
			Py_CLEAR(list);
		else
			PyList_SET_ITEM(list, i, qual);
	}
	return list;
}
