"""Runs the migrations on the connection that `shared.migrations.migrate` gives: one transaction around all of them."""

from alembic import context
from alembic.operations import Operations
from alembic.operations.ops import ExecuteSQLOp

from shared.database import VERSION_SCHEMA
from shared.migrations import run_script


@Operations.implementation_for(ExecuteSQLOp, replace=True)
def execute(operations: Operations, operation: ExecuteSQLOp) -> None:
    """`op.execute` of a string takes many statements: a prepared statement, which the driver makes of everything else, takes one."""
    if isinstance(operation.sqltext, str):
        run_script(operations.get_bind(), operation.sqltext)
    else:
        operations.migration_context.impl.execute(operation.sqltext)


connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `earmark migrate`: it takes the lock and checks the version first")
context.configure(connection=connection, version_table_schema=VERSION_SCHEMA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
