"""API keys. The tables that every HTTP service has are made by `create_platform_tables` in the service's own migration.

Revision 0004, after 0003.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL = """
CREATE SCHEMA access;

CREATE TABLE access.api_key (
    id text NOT NULL,
    secret_hash bytea NOT NULL,
    merchant text NOT NULL,
    name text NOT NULL DEFAULT '',
    scopes text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    CONSTRAINT api_key_pkey PRIMARY KEY (id),
    CONSTRAINT api_key_hash_is_sha256 CHECK (octet_length(secret_hash) = 32)
);
CREATE INDEX api_key_merchant ON access.api_key (merchant);
COMMENT ON COLUMN access.api_key.secret_hash IS 'HMAC-SHA256 of the secret with the pepper; the secret is shown once';
"""


def upgrade() -> None:
    """Make the schema and its table."""
    op.execute(SQL)


def downgrade() -> None:
    """Drop them: every key is lost."""
    op.execute("DROP SCHEMA access CASCADE")
