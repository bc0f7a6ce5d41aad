//! Connecting to NATS, and the checks of the server itself.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use nexus_es::log::Source;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::error::Error;
use crate::options::{Login, Options};
use crate::streams::MAX_MESSAGE_BYTES;

/// The longest wait between two attempts to reconnect: what waits for the server goes on within
/// two seconds of its return.
const RECONNECT_MAX_MS: u64 = 500;

/// How often the server is asked whether it is there. A server that does not answer twice (a frozen
/// one keeps its connections) is left after three seconds: nobody waits for it any more.
const PING_EVERY: Duration = Duration::from_secs(1);

/// What tells of a connection's changes.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    /// Changes each time the connection breaks.
    pub(crate) broken: watch::Receiver<u64>,
    /// Changes each time it breaks and each time it is made.
    pub(crate) any: watch::Receiver<u64>,
}

/// Opens a connection as `login`.
pub(crate) async fn open(
    options: &Options,
    login: Option<&Login>,
) -> Result<(Client, Changes), Error> {
    let addresses = addresses(&options.urls)?;
    let (breaks, broken) = watch::channel(0_u64);
    let (changes, any) = watch::channel(0_u64);
    let mut connect = ConnectOptions::new()
        .name("nexus")
        .custom_inbox_prefix(&options.inbox_prefix)
        .request_timeout(Some(options.request_timeout))
        .connection_timeout(options.request_timeout)
        .ping_interval(PING_EVERY)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed) {
                breaks.send_modify(|times| *times += 1);
            }
            if matches!(event, Event::Connected | Event::Disconnected | Event::Closed) {
                changes.send_modify(|times| *times += 1);
            }
            async move { tell(&event) }
        });
    connect = match login {
        Some(Login::Password { user, password }) => {
            connect.user_and_password(user.clone(), password.expose_secret().to_owned())
        }
        Some(Login::Nkey { seed }) => connect.nkey(seed.expose_secret().to_owned()),
        None => connect,
    };
    if let Some(path) = &options.root_certificates {
        connect = connect.add_root_certificates(path.clone()).require_tls(true);
    }
    let client = connect.connect(&addresses).await;
    let failed = |source: async_nats::ConnectError| Error::Connect {
        urls: names(&addresses),
        source: source.into(),
    };
    Ok((client.map_err(failed)?, Changes { broken, any }))
}

/// Refuses a server that would silently not do what the log relies on.
pub(crate) fn check_server(client: &Client) -> Result<(), Error> {
    let server = client.server_info();
    let refuse = |why: String| Err(Error::Server { server: server.server_name.clone(), why });
    if !client.is_server_compatible(2, 12, 0) {
        return refuse(format!("it is version {}, the log needs 2.12 or newer", server.version));
    }
    if !server.jetstream {
        return refuse("JetStream is not enabled there".to_owned());
    }
    if server.max_payload < MAX_MESSAGE_BYTES {
        let max = server.max_payload;
        return refuse(format!("its max_payload is {max}, the log needs {MAX_MESSAGE_BYTES}"));
    }
    Ok(())
}

fn addresses(urls: &[String]) -> Result<Vec<ServerAddr>, Error> {
    let refuse = |urls: String, source: Source| Error::Connect { urls, source };
    let mut addresses = Vec::new();
    for url in urls {
        let address: ServerAddr = url.parse().map_err(|source| {
            refuse("an address that cannot be read".to_owned(), Box::new(source))
        })?;
        // The client would ignore it, and addresses get logged.
        if address.has_user_pass() {
            let why = "an address holds no login, it has settings of its own";
            return Err(refuse(names(&[address]), why.into()));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// Hosts and ports only: they may be told to anybody.
fn names(addresses: &[ServerAddr]) -> String {
    let name = |address: &ServerAddr| format!("{}:{}", address.host(), address.port());
    addresses.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// 50 ms, doubled up to half a second, half of it random: many clients come back after one restart.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(5);
    let full = (50_u64 << doublings).min(RECONNECT_MAX_MS);
    let random = nexus_es::new_id().as_bytes().last().copied().map_or(0, u64::from);
    Duration::from_millis(full / 2 + full * random / 512)
}

/// A refused publish gets no reply, it only shows here: it is an operator's business.
fn tell(event: &Event) {
    match event {
        Event::ServerError(refused) => error!("the NATS server refused a request: {refused}"),
        Event::ClientError(failed) => warn!("the NATS connection failed: {failed}"),
        Event::SlowConsumer(_) => warn!("the NATS client is slower than its server: {event}"),
        Event::Connected
        | Event::Disconnected
        | Event::LameDuckMode
        | Event::Draining
        | Event::Closed => info!("NATS connection: {event}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_waits_at_most_half_a_second_before_it_connects_again() {
        for attempts in [0, 1, 5, 1_000_000] {
            let delay = reconnect_delay(attempts);
            assert!(delay <= Duration::from_millis(RECONNECT_MAX_MS), "{attempts}: {delay:?}");
            assert!(delay >= Duration::from_millis(25), "{attempts}: {delay:?}");
        }
    }

    #[test]
    fn a_login_in_an_address_is_refused_and_not_repeated() {
        let error = addresses(&["nats://ali:secret@127.0.0.1:1".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "cannot connect to NATS at 127.0.0.1:1");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}
