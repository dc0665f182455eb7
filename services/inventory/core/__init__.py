"""Decisions about stock documents and the folding of what the allocator tells. Pure: no clock, no SQL, no HTTP."""
