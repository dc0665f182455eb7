"""The outboxes of the HTTP services: one row for the events of a batch, where there was one for each.

Revision 0009, after 0008.
"""

from shared.platform_tables import pack_outbox, unpack_outbox

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SERVICES = ("orders", "inventory")


def upgrade() -> None:
    """What waits to be published is kept."""
    for service in SERVICES:
        pack_outbox(service)


def downgrade() -> None:
    """Refused while events wait."""
    for service in SERVICES:
        unpack_outbox(service)
