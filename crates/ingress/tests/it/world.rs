//! A running ingress, and the accounts that other services would have made.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use nexus_es::commit::sha256;
use nexus_es::log::{Append, EventLog};
use nexus_es::memory::{
    MemoryBlobs, MemoryCheckpoints, MemoryKeyStore, MemoryLeases, MemoryLog, MemoryTimers,
};
use nexus_es::seal::{MasterKeys, Vault};
use nexus_es::tasks::Tasks;
use nexus_es::views::Views;
use nexus_es::{Actor, AggregateId, Cause, Commit, Entry, Heard, Payload, Version, clock, new_id};
use nexus_ingress::Config;
use nexus_proto::ingress::v1::InboxReceived;
use nexus_proto::notification::v1 as notification;
use nexus_proto::shipping::v1::{CourierAccountAmended, CourierAccountOpened};
use nexus_runtime::{Channels, Ports, Running, Secrets};
use nexus_test_postgres::Place;
use prost::Message;
use tower::ServiceExt;
use zeroize::Zeroizing;

pub(crate) const TOKEN: &str = "token-of-the-courier";
pub(crate) const SECRET: &str = "s3cret-of-the-courier";
pub(crate) const CHANNEL_TOKEN: &str = "token-of-the-channel";
pub(crate) const APP_SECRET: &str = "app-secret";
pub(crate) const VERIFY_TOKEN: &str = "verify-me";

pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) vault: Arc<Vault>,
    pub(crate) running: Running,
    pub(crate) router: Router,
    place: Place,
}

pub(crate) async fn ingress() -> World {
    let log = MemoryLog::default();
    let masters = MasterKeys::new(MasterKeys::generate().unwrap()).unwrap();
    let vault = Arc::new(Vault::new(Arc::new(MemoryKeyStore::default()), masters));
    let secrets = Arc::new(Secrets::new(Zeroizing::new(vec![7; 32])));
    let place = Place::new().unwrap();
    let ports = Ports {
        log: Arc::new(log.clone()),
        leases: Arc::new(MemoryLeases::default()),
        checkpoints: Arc::new(MemoryCheckpoints::default()),
        timers: Arc::new(MemoryTimers::default()),
        blobs: Arc::new(MemoryBlobs::default()),
        vault: Arc::clone(&vault),
        tasks: Tasks::default(),
        processes: Tasks::default(),
        database: place.setting().parse().unwrap(),
        // Nobody listens there: ingress needs no other service.
        channels: Channels::shared("http://127.0.0.1:9", Arc::clone(&secrets)).unwrap(),
        secrets,
        speed: 1.0,
    };
    let (router, running) = nexus_ingress::run(ports, Config::default()).await.unwrap();
    World { log, vault, running, router, place }
}

impl World {
    /// Accounts that are read into the other kind of database are the same.
    pub(crate) async fn other_database_equals_live(&self) {
        let live = self.running.views.content_hash().await.unwrap();
        let other = self.place.other().unwrap();
        let database = other.setting().parse().unwrap();
        let config = nexus_ingress::views_config(database);
        let log = Arc::new(self.log.clone());
        let views = Views::start(config, log, Tasks::default()).await.unwrap();
        views.wait_for(&self.running.views.positions(), Duration::from_secs(10)).await.unwrap();
        assert_eq!(views.content_hash().await.unwrap(), live);
    }

    pub(crate) async fn with_accounts() -> Self {
        let world = ingress().await;
        world.open_courier().await;
        world.open_channel().await;
        world
    }

    pub(crate) async fn open_courier(&self) {
        let opened = CourierAccountOpened {
            webhook_token_sha256: sha256(TOKEN.as_bytes()),
            webhook_secret_sha256: sha256(SECRET.as_bytes()),
            webhook_header: "X-Nexus-Key".to_owned(),
            ..CourierAccountOpened::default()
        };
        self.append("shipping", "courier_account", "acc-1", "Opened", &opened).await;
    }

    pub(crate) async fn rename_header(&self, name: &str) {
        let webhook_header = Some(name.to_owned());
        let amended = CourierAccountAmended { webhook_header, ..CourierAccountAmended::default() };
        self.append("shipping", "courier_account", "acc-1", "Amended", &amended).await;
    }

    pub(crate) async fn open_channel(&self) {
        let context = "channel_account.Opened.credentials";
        let opened = notification::ChannelAccountOpened {
            credentials: Some(self.credentials(APP_SECRET, context).await),
            webhook_token_sha256: sha256(CHANNEL_TOKEN.as_bytes()),
            ..notification::ChannelAccountOpened::default()
        };
        self.append("notification", "channel_account", "acc-2", "Opened", &opened).await;
    }

    pub(crate) async fn rotate(&self, app_secret: &str, previous_until_ms: i64) {
        let context = "channel_account.CredentialsRotated.credentials";
        let rotated = notification::ChannelAccountCredentialsRotated {
            credentials: Some(self.credentials(app_secret, context).await),
            previous_until_ms,
            ..notification::ChannelAccountCredentialsRotated::default()
        };
        let event = "CredentialsRotated";
        self.append("notification", "channel_account", "acc-2", event, &rotated).await;
    }

    async fn credentials(
        &self,
        app_secret: &str,
        context: &str,
    ) -> nexus_proto::common::v1::Sealed {
        let clear = notification::SealedChannelCredentials {
            app_secret: app_secret.to_owned(),
            verify_token: VERIFY_TOKEN.to_owned(),
            ..notification::SealedChannelCredentials::default()
        };
        let key = "channel-account-acc-2";
        self.vault.seal(key, context, &clear.encode_to_vec()).await.unwrap()
    }

    /// What another service would have appended.
    async fn append(
        &self,
        service: &str,
        category: &str,
        id: &str,
        event: &str,
        message: &impl Message,
    ) {
        let aggregate = AggregateId::new(service, category, id).unwrap();
        let before = self.log.load(&aggregate, Version::NONE).await.unwrap();
        let last = before.last();
        let payload = Payload {
            event_type: format!("{category}.{event}"),
            schema: 1,
            bytes: message.encode_to_vec(),
        };
        let commit = Commit {
            commit_id: new_id(),
            aggregate: aggregate.clone(),
            number: u64::try_from(before.len()).unwrap() + 1,
            previous_sha256: last.map(|stored| sha256(&stored.bytes)).unwrap_or_default(),
            entries: vec![Entry { cause: cause(), events: vec![(new_id(), payload)] }],
        };
        let append = Append {
            aggregate,
            expected: last.map(|stored| stored.version).unwrap_or_default(),
            commit_id: commit.commit_id,
            bytes: commit.encode(),
            traceparent: String::new(),
        };
        self.log.append(append).await.unwrap();
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1_000_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Everything that ingress has kept, oldest first.
    pub(crate) fn kept(&self) -> Vec<InboxReceived> {
        let commits = self.log.commits("ingress");
        let heard = commits.iter().flat_map(|stored| Heard::of(stored).unwrap());
        heard.map(|heard| InboxReceived::decode(heard.payload.bytes.as_slice()).unwrap()).collect()
    }

    pub(crate) async fn caught_up(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !self.running.views.caught_up().await.unwrap() {
            assert!(tokio::time::Instant::now() < deadline, "the views did not catch up");
            tokio::task::yield_now().await;
        }
    }
}

fn cause() -> Cause {
    let now = clock::now_ms();
    Cause {
        occurred_at_ms: now,
        learned_at_ms: now,
        command_id: new_id(),
        request_hash: Vec::new(),
        story: "story".to_owned(),
        causation_id: None,
        actor: Actor::service("test"),
        traceparent: String::new(),
    }
}
