//! What notification does by itself: decide to tell, send, take receipts in.

pub(crate) mod apply_receipt;
pub(crate) mod pace;
pub(crate) mod send_message;
pub(crate) mod tell_customer;
