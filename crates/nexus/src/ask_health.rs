//! `nexus health`: asks the role on this machine whether it is ready. A container's health check,
//! since the image holds nothing else that could ask.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::config::{Config, Given, Shape};

const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    let config = Config::read(&Given::load(None)?, Shape::All)?;
    let url = format!("http://{}/readyz", reachable(config.listen.health));
    let answer = nexus_runtime::http::client(PATIENCE)?.get(&url).send().await;
    let answer = answer.with_context(|| format!("nobody answers at {url}"))?;
    let ready = answer.status().is_success();
    println!("{}", answer.text().await?);
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Who listens everywhere also listens on the loopback.
fn reachable(listens: SocketAddr) -> SocketAddr {
    match listens {
        SocketAddr::V4(at) if at.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, at.port()).into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, at.port()).into(),
        at => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_listens_everywhere_is_asked_on_the_loopback() {
        let asked = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8190"), "127.0.0.1:8190");
        assert_eq!(asked("[::]:8190"), "[::1]:8190");
        assert_eq!(asked("10.0.0.7:8190"), "10.0.0.7:8190");
    }
}
