//! Connections to one view database.
//!
//! The driver's pool asks a connection whether it lives each time it comes back. For a file that is
//! a second trip to the driver's thread after each query, and a file does not go away: connections
//! that did their work are kept here instead.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use sqlx::any::{AnyQueryResult, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Database, Either, Error, Execute, Executor, SqlStr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections to read a view database with.
#[derive(Clone)]
pub struct Pool {
    driver: AnyPool,
    /// `None`: a server may go away, so that its connections are asked.
    kept: Option<Arc<Kept>>,
}

struct Kept {
    idle: Mutex<Vec<PoolConnection<Any>>>,
    /// One for each connection: the driver's pool knows nothing of those that are kept.
    places: Arc<Semaphore>,
}

impl Kept {
    fn idle(&self) -> MutexGuard<'_, Vec<PoolConnection<Any>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for a while.
pub struct Lent {
    connection: PoolConnection<Any>,
    home: Option<(Arc<Kept>, OwnedSemaphorePermit)>,
}

impl Lent {
    /// The work is done, all of it: the next one gets the connection as it is. One that is only
    /// dropped is looked at first.
    pub fn done(self) {
        // After the end of all it goes back to the driver, which waits for it.
        if let Some((kept, place)) = self.home
            && !kept.places.is_closed()
        {
            kept.idle().push(self.connection);
            drop(place);
        }
    }
}

impl Deref for Lent {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}

impl Pool {
    /// Connections to a server.
    pub(super) fn to_server(driver: AnyPool) -> Self {
        Self { driver, kept: None }
    }

    /// Connections to a file, as many as `driver` gives.
    pub(super) fn to_file(driver: AnyPool) -> Self {
        let places = usize::try_from(driver.options().get_max_connections()).unwrap_or(1);
        let places = Arc::new(Semaphore::new(places));
        Self { driver, kept: Some(Arc::new(Kept { idle: Mutex::default(), places })) }
    }

    /// A connection, when one is free.
    ///
    /// # Errors
    /// [`Error`] when none can be had in time.
    pub async fn acquire(&self) -> Result<Lent, Error> {
        let Some(kept) = &self.kept else {
            return Ok(Lent { connection: self.driver.acquire().await?, home: None });
        };
        let patience = self.driver.options().get_acquire_timeout();
        let place = tokio::time::timeout(patience, Arc::clone(&kept.places).acquire_owned()).await;
        let place = place.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        let idle = kept.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.driver.acquire().await?,
        };
        Ok(Lent { connection, home: Some((Arc::clone(kept), place)) })
    }

    /// A connection to a server, when one is free now.
    pub(super) fn try_acquire(&self) -> Option<PoolConnection<Any>> {
        self.driver.try_acquire()
    }

    /// Whether it has no connection, not even one that is lent.
    pub(super) fn is_empty(&self) -> bool {
        self.driver.size() == 0
    }

    /// Gives every connection up, and waits for those that are lent.
    pub(super) async fn close(&self) {
        if let Some(kept) = &self.kept {
            kept.places.close();
            kept.idle().clear();
        }
        self.driver.close().await;
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.driver, out)
    }
}

impl<'p> Executor<'p> for &'_ Pool {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let pool = self.clone();
        let found = async move {
            let mut lent = pool.acquire().await?;
            let found: Vec<_> = lent.fetch_many(query).try_collect().await?;
            lent.done();
            Ok::<_, Error>(stream::iter(found.into_iter().map(Ok)))
        };
        stream::once(found).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lent = pool.acquire().await?;
            let found = lent.fetch_optional(query).await?;
            lent.done();
            Ok(found)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<Any as Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<<Any as Database>::Statement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lent = pool.acquire().await?;
            let prepared = lent.prepare_with(sql, parameters).await?;
            lent.done();
            Ok(prepared)
        })
    }
}
