//! HTTP clients with time limits.

use std::time::Duration;

/// A client that gives up after `timeout`, follows no redirect, and says who it is.
///
/// # Errors
/// When the machine's certificates cannot be loaded.
pub fn client(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(5)))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
        .build()
}
