"""The database says which code may take a state partition over: none that is older than the last migration which that code could not live
with. A process that is forgotten in an upgrade, or started from an old image, writes nothing then.

Revision 0016, after 0015.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE platform.oldest_code (
    the_only_row boolean NOT NULL DEFAULT true,
    revision integer NOT NULL,
    CONSTRAINT oldest_code_pkey PRIMARY KEY (the_only_row),
    CONSTRAINT oldest_code_is_one_row CHECK (the_only_row)
);
COMMENT ON TABLE platform.oldest_code IS 'The newest migration that code must know to take a state partition over';
INSERT INTO platform.oldest_code (revision) VALUES (0);

CREATE FUNCTION platform.refuse_code_before(known integer) RETURNS void LANGUAGE sql AS $$
    UPDATE platform.oldest_code SET revision = greatest(revision, known);
    -- Whoever serves a partition now is fenced off, and has to claim it again.
    UPDATE allocator.state_partition SET epoch = epoch + 1;
$$;

CREATE FUNCTION platform.require_newer_code() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    known integer := coalesce(nullif(current_setting('earmark.revision', true), ''), '0')::integer;
    oldest integer := (SELECT revision FROM platform.oldest_code);
BEGIN
    IF known >= oldest THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'this code knows migrations up to %, and the database serves none that does not know %: stop this process and install '
        'the version that migrated the database, or a later one. See docs/runbooks.md#older-code', known, oldest USING ERRCODE = 'EA001';
END $$;

CREATE FUNCTION allocator.require_newer_code() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM platform.require_newer_code();
    RETURN NEW;
END $$;

-- A claim names its owner; batches do not, nor does a repair by hand.
CREATE TRIGGER state_partition_of_newer_code BEFORE INSERT OR UPDATE OF owner ON allocator.state_partition
   FOR EACH ROW WHEN (NEW.owner <> '') EXECUTE FUNCTION allocator.require_newer_code();
SELECT platform.refuse_code_before(16);
"""
DOWN = """
DROP TRIGGER state_partition_of_newer_code ON allocator.state_partition;
DROP FUNCTION allocator.require_newer_code, platform.require_newer_code, platform.refuse_code_before;
DROP TABLE platform.oldest_code;
"""


def upgrade() -> None:
    """Refuse what knows nothing of this: migrations before it changed tables under code that would not have noticed."""
    op.execute(UP)


def downgrade() -> None:
    """Anybody may claim again."""
    op.execute(DOWN)
