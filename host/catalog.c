/*
 * catalog.c
 *    What PostgreSQL's catalogs say of a foreign table, IMPORT FOREIGN SCHEMA,
 *    and the validator.
 */
#include "host.h"

#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

/*
 * type_name returns the name of a type, without a schema for those of PostgreSQL
 * itself alone: other types may have the same names, and come first in search_path.
 */
static char *
type_name(Oid type)
{
	static const char system[] = "pg_catalog.";
	char	   *name = format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY);

	return strncmp(name, system, sizeof(system) - 1) == 0 ? name + sizeof(system) - 1 : name;
}

/* host_table describes a foreign table: options, and names and types of its columns. */
HostTable *
host_table(Oid table_id)
{
	ForeignTable *foreign = GetForeignTable(table_id);
	ForeignServer *server = GetForeignServer(foreign->serverid);
	Relation	relation = table_open(table_id, NoLock);
	TupleDesc	desc = RelationGetDescr(relation);
	HostTable  *table = palloc0(sizeof(HostTable));

	table->relname = host_to_utf8(pstrdup(RelationGetRelationName(relation)));
	table->server_name = host_to_utf8(server->servername);
	table->server_options = host_utf8_options(server->options);
	table->table_options = host_utf8_options(foreign->options);
	table->server_id = server->serverid;
	table->natts = desc->natts;
	table->names = palloc0(sizeof(char *) * Max(desc->natts, 1));
	table->types = palloc0(sizeof(char *) * Max(desc->natts, 1));
	table->type_ids = palloc0(sizeof(Oid) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		table->type_ids[i] = attribute->atttypid;
		if (attribute->attisdropped)
			continue;
		table->names[i] = host_to_utf8(pstrdup(NameStr(attribute->attname)));
		table->types[i] = host_to_utf8(type_name(attribute->atttypid));
	}
	table_close(relation, NoLock);
	return table;
}

/* table_names returns the tables that LIMIT TO or EXCEPT names. */
static char **
table_names(ImportForeignSchemaStmt *stmt, int *n)
{
	char	  **names = palloc0(sizeof(char *) * Max(list_length(stmt->table_list), 1));
	ListCell   *cell;

	*n = 0;
	foreach(cell, stmt->table_list)
		names[(*n)++] = host_to_utf8(lfirst_node(RangeVar, cell)->relname);
	return names;
}

/* host_import_schema returns the CREATE FOREIGN TABLE commands of IMPORT FOREIGN SCHEMA. */
List *
host_import_schema(ImportForeignSchemaStmt *stmt, Oid server_id)
{
	static const char *const modes[] = {
		[FDW_IMPORT_SCHEMA_ALL] = "all",
		[FDW_IMPORT_SCHEMA_LIMIT_TO] = "limit to",
		[FDW_IMPORT_SCHEMA_EXCEPT] = "except",
	};
	ForeignServer *server = GetForeignServer(server_id);
	List	   *options = host_utf8_options(stmt->options);
	char	   *server_name = host_to_utf8(server->servername);
	char	   *remote_schema = host_to_utf8(stmt->remote_schema);
	List	   *commands = NIL;
	PyObject   *result;
	char	  **names;
	int			n;

	host_start_python();
	names = table_names(stmt, &n);
	result = host_keep(host_call("import_schema",
								 Py_BuildValue("(sssNN)", server_name, remote_schema,
											   modes[stmt->list_type],
											   host_python_strings(names, n),
											   host_python_options(options))));
	if (!PyTuple_Check(result))
		elog(ERROR, "cio_fdw: import_schema did not return a tuple");
	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(result); i++)
	{
		const char *command = PyUnicode_AsUTF8(PyTuple_GET_ITEM(result, i));

		if (!command)
			host_raise();
		commands = lappend(commands, host_from_utf8(command));
	}
	return commands;
}

/* scope_of names the kind of object that options belong to, as cio_fdw.options does. */
static const char *
scope_of(Oid catalog)
{
	switch (catalog)
	{
		case ForeignDataWrapperRelationId:
			return "foreign data wrapper";
		case ForeignServerRelationId:
			return "server";
		case UserMappingRelationId:
			return "user mapping";
		case ForeignTableRelationId:
			return "foreign table";
		default:
			return "column";
	}
}

/* host_validate checks the options of one object; Python knows them. */
Datum
host_validate(PG_FUNCTION_ARGS)
{
	List	   *options = host_utf8_options(untransformRelOptions(PG_GETARG_DATUM(0)));
	const char *scope = scope_of(PG_GETARG_OID(1));
	bool		privileged = superuser() || has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES);

	/* CREATE EXTENSION makes the wrapper without options: that needs no Python. */
	if (options == NIL && PG_GETARG_OID(1) == ForeignDataWrapperRelationId)
		PG_RETURN_VOID();
	host_start_python();
	Py_DECREF(host_call("validate",
						Py_BuildValue("(sNO)", scope, host_python_options(options),
									  privileged ? Py_True : Py_False)));
	PG_RETURN_VOID();
}
