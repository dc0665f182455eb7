"""The allocator's demand side: demands that wait for answers stand together on pages.

Revision 0007, after 0006.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE allocator.demand_page (
    partition integer NOT NULL,
    number bigint NOT NULL,
    demands text NOT NULL,
    CONSTRAINT demand_page_pkey PRIMARY KEY (partition, number),
    CONSTRAINT demand_page_numbers_from_one CHECK (number >= 1)
);
COMMENT ON TABLE allocator.demand_page IS 'Demands that one batch left waiting for answers, and what they were then';
COMMENT ON COLUMN allocator.demand_page.demands IS 'JSON: of each demand the columns of a row, in their order; text: nobody searches it';
-- A page lives for seconds: vacuum by number, not by share of a table that is nearly always empty.
ALTER TABLE allocator.demand_page SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000);

ALTER TABLE allocator.demand ADD COLUMN page bigint NOT NULL DEFAULT 0, ALTER COLUMN state TYPE text;
COMMENT ON COLUMN allocator.demand.state IS 'JSON: terms, rows held and released, outcomes, picking; text, since checking it is dear';
ALTER TABLE allocator.demand SET (fillfactor = 60);
COMMENT ON COLUMN allocator.demand.page IS 'The newest page when the row was written: what pages up to it say of this demand is outdated';

CREATE VIEW allocator.demand_now AS
WITH waiting AS (
    SELECT DISTINCT ON (one ->> 0) one ->> 0 AS demand, partition, one ->> 1 AS merchant, one ->> 2 AS status, one ->> 3 AS wish,
           (one ->> 4)::bigint AS version, (one ->> 5)::bigint AS attempt, (one ->> 8)::json AS state, number AS page
      FROM allocator.demand_page CROSS JOIN LATERAL json_array_elements(demands::json) AS one
     ORDER BY one ->> 0, number DESC)
SELECT demand, partition, merchant, status, wish, version, attempt, deadline_at, closed_at, state::json AS state, page
  FROM allocator.demand AS d
 WHERE NOT EXISTS (SELECT FROM waiting AS w WHERE w.demand = d.demand AND w.page > d.page)
UNION ALL
SELECT demand, partition, merchant, status, wish, version, attempt, NULL, NULL, state, page
  FROM waiting AS w
 WHERE NOT EXISTS (SELECT FROM allocator.demand AS d WHERE d.demand = w.demand AND d.page >= w.page);
COMMENT ON VIEW allocator.demand_now IS 'Every demand as it is: its row, or what a newer page says of it';
"""


def upgrade() -> None:
    """Make the pages. A demand becomes a row when it is answered and is updated less often than before: hence fuller pages of the table."""
    op.execute(UP)


def downgrade() -> None:
    """Give every demand that waits its row, then drop the pages."""
    op.execute("""
CREATE TEMPORARY TABLE waiting ON COMMIT DROP AS
SELECT n.* FROM allocator.demand_now AS n LEFT JOIN allocator.demand AS d USING (demand) WHERE d.demand IS NULL OR n.page > d.page;
DELETE FROM allocator.demand WHERE demand IN (SELECT demand FROM waiting);
INSERT INTO allocator.demand SELECT * FROM waiting;
DROP VIEW allocator.demand_now;
ALTER TABLE allocator.demand DROP COLUMN page, ALTER COLUMN state TYPE json USING state::json, SET (fillfactor = 40);
COMMENT ON COLUMN allocator.demand.state IS 'Terms, rows held and released, outcomes, picking; json, not jsonb: read whole, never searched';
DROP TABLE allocator.demand_page;
""")
