//! A collector of one's own: takes OTLP over gRPC and keeps it for the test.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::spans::Told;
use super::wait;

const TOLD_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Told>>>,
    metrics: Arc<Mutex<BTreeSet<String>>>,
}

/// A running collector; it ends when dropped.
pub struct Collector {
    kept: Kept,
    endpoint: String,
    serving: JoinHandle<()>,
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let told = request.into_inner().resource_spans;
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(told.iter().flat_map(Told::of_push));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let told = request.into_inner().resource_metrics;
        let metrics = told.into_iter().flat_map(|one| one.scope_metrics);
        let names = metrics.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Collector {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> anyhow::Result<Self> {
        Self::serve(Server::builder(), "http").await
    }

    /// Starts one that speaks TLS with this certificate, which names `localhost`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn with_tls(certificate: &str, key: &str) -> anyhow::Result<Self> {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        Self::serve(Server::builder().tls_config(tls)?, "https").await
    }

    async fn serve(mut server: Server, scheme: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("{scheme}://localhost:{}", listener.local_addr()?.port());
        let kept = Kept::default();
        let server = server
            .add_service(TraceServiceServer::new(kept.clone()))
            .add_service(MetricsServiceServer::new(kept.clone()));
        #[expect(clippy::disallowed_methods, reason = "ended by its owner's drop")]
        let serving = tokio::spawn(async move {
            // The tests fail by what they miss, not by this.
            drop(server.serve_with_incoming(TcpIncoming::from(listener)).await);
        });
        Ok(Self { kept, endpoint, serving })
    }

    /// What a Nexus has to be told to push to it.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.endpoint.as_str()),
            ("OTEL_BSP_SCHEDULE_DELAY", "200"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Told> {
        self.kept.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The names of all metrics so far.
    #[must_use]
    pub fn metrics(&self) -> BTreeSet<String> {
        self.kept.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what it was told satisfies `enough`.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_for(&self, what: &str, enough: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        wait::until(what, TOLD_WITHIN, async || Ok(enough(self).then_some(()))).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
