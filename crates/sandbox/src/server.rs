//! The HTTP side that both servers share: listening, stopping, and the answer that never arrives.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, TURN};
use crate::failure::{Error, report};

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

pub(crate) fn address(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener
        .local_addr()
        .map_err(|source| Error::Listen { address: SocketAddr::from(([0, 0, 0, 0], 0)), source })
}

pub(crate) async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) {
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { cancel.cancelled().await })
        .await;
    if let Err(error) = served {
        report(&error, "the sandbox stopped serving");
    }
}

/// Carries a call that has begun to its end though its caller hangs up, as a server far away does;
/// otherwise it could end between the file and the memory beside it.
pub(crate) async fn carry_on(
    State(tasks): State<TaskTracker>,
    request: Request,
    next: Next,
) -> Response {
    match tasks.spawn(next.run(request)).await {
        Ok(answer) => answer,
        Err(error) => {
            report(&error, "a call was not answered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Closes the connection without a byte of answer: the body fails before the head is flushed.
pub(crate) fn dropped_connection() -> Response {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    Response::new(Body::from_stream(futures::stream::once(async { Err::<Bytes, _>(broken) })))
}

/// Something that happens by the clock: it does what is due and says when it is needed next.
pub(crate) trait Turn: Send + Sync + 'static {
    fn turn(&self) -> impl Future<Output = Result<Option<i64>, Error>> + Send;
}

/// The first at once, then never two within [`TURN`]: under load much is due in one.
pub(crate) fn turns() -> Interval {
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}

pub(crate) async fn run_turns(
    doing: impl Turn,
    clock: Clock,
    wake: Arc<Notify>,
    cancel: CancellationToken,
) {
    let mut turn = turns();
    loop {
        turn.tick().await;
        let pause = match doing.turn().await {
            Ok(next) => next.map_or(Duration::from_secs(3_600), |next| clock.until(next)),
            Err(error) => {
                report(&error, "a turn was missed");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
