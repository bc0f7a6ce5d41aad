//! Stored bytes of every event still read as they did.
