//! What readers ask for beside the thing itself.

use nexus_es::Positions;
use tonic::Status;

use crate::status;

/// The position that a reader has seen already; empty text: none.
///
/// # Errors
/// `INVALID_ARGUMENT` for a text that Nexus did not give out.
pub fn min_position(text: &str) -> Result<Positions, Status> {
    Positions::parse(text).map_err(|error| status::invalid_field("min_position", error.to_string()))
}
