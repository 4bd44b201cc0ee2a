//! How fast a worker may have the host work for it, beside the calls that it serves.
//!
//! What the host does for a connection is paid by no limit of the jail behind it. So all that a worker does at its gate
//! costs it shares of one allowance, which fills again at an even rate; what it asks over its channel costs it another.
//! A worker that has spent it is not refused: what it sent stays in the kernel's queues until the allowance allows for
//! it, and those make the worker itself wait. It must not know what is asked.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::activity::{Activity, ActivityGuard};
use crate::settings::GateLimits;

/// What is paid for reading once from a connection, however much that gives. A request comes with one as a rule, and a
/// large body with many.
const READ: u32 = 1;
/// What is paid for a connection, and for a request: a turn.
const TURN: u32 = 4;

/// The allowance of one worker. Clones are the same one.
#[derive(Clone, Debug)]
pub struct GatePace(Arc<Allowance>);

#[derive(Debug)]
struct Allowance {
    /// In how much time as much comes back as a read costs.
    interval: Duration,
    /// How far ahead of its time may be spent.
    ahead: Duration,
    /// When all that was spent will have come back.
    whole: Mutex<Instant>,
    /// Requests that may be worked on at once.
    places: Semaphore,
    /// Where it is noted that the worker asks for something.
    activity: Option<Arc<Activity>>,
}

/// A request's turn. The next one waits until it is dropped, if there are too many at once.
#[derive(Debug)]
#[must_use = "others get its place when it is dropped"]
pub struct Turn<'a> {
    _call: Option<ActivityGuard>,
    _place: Option<SemaphorePermit<'a>>,
}

impl GatePace {
    /// A full allowance.
    #[must_use]
    pub fn new(limits: &GateLimits) -> Self {
        Self::noting(limits, None)
    }

    /// A full allowance of a worker whose requests are its activity.
    pub(crate) fn noting(limits: &GateLimits, activity: Option<Arc<Activity>>) -> Self {
        let interval = Duration::from_secs(1) / limits.rate.get() / TURN;
        Self(Arc::new(Allowance {
            interval,
            ahead: interval.saturating_mul(limits.burst.saturating_mul(TURN)),
            whole: Mutex::new(Instant::now()),
            places: Semaphore::new(limits.requests.get().min(Semaphore::MAX_PERMITS)),
            activity,
        }))
    }

    /// Waits for the turn of a request. The worker is at work until the turn is dropped.
    pub async fn turn(&self) -> Turn<'_> {
        let call = self.0.activity.as_ref().map(ActivityGuard::new);
        // It is never closed, and without a place nobody would be answered.
        let place = self.0.places.acquire().await.ok();
        if let Some(activity) = &self.0.activity {
            activity.asked();
        }
        sleep_until(self.spend(TURN)).await;
        Turn { _call: call, _place: place }
    }

    /// When another connection or message may be taken, since one was just now. It is the past for a worker that sends
    /// few.
    pub(crate) fn took_one(&self) -> Instant {
        self.spend(TURN)
    }

    /// When there will be something left to spend again.
    fn spend(&self, cost: u32) -> Instant {
        let Allowance { interval, ahead, whole, .. } = &*self.0;
        let mut whole = whole.lock().unwrap_or_else(PoisonError::into_inner);
        *whole = (*whole).max(Instant::now()) + interval.saturating_mul(cost);
        whole.checked_sub(*ahead).unwrap_or_else(Instant::now)
    }
}

/// A connection that is read no faster than its worker's allowance allows for.
#[derive(Debug)]
pub(crate) struct Paced<T> {
    stream: T,
    pace: GatePace,
    /// Nothing is read before.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<T> Paced<T> {
    pub(crate) fn new(stream: T, pace: GatePace) -> Self {
        Self { stream, pace, pause: None }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let next = self.pace.spend(READ);
        if next > Instant::now() {
            self.pause = Some(Box::pin(sleep_until(next)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};

    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn limits(rate: u32, burst: u32, requests: usize) -> GateLimits {
        GateLimits {
            rate: NonZeroU32::new(rate).unwrap(),
            burst,
            requests: NonZeroUsize::new(requests).unwrap(),
            ..GateLimits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_a_flood_at_the_rate() {
        let pace = GatePace::new(&limits(100, 50, 64));
        let begun = Instant::now();
        for _ in 0..50 {
            drop(pace.turn().now_or_never().expect("part of the burst"));
        }
        for _ in 0..200 {
            drop(pace.turn().await);
        }
        let taken = begun.elapsed();
        assert!((1_990..=2_010).contains(&taken.as_millis()), "{taken:?}");
        // What is not spent comes back, up to the burst and no further.
        tokio::time::sleep(Duration::from_secs(60)).await;
        for _ in 0..50 {
            drop(pace.turn().now_or_never().expect("part of the second burst"));
        }
        assert!(pace.turn().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_worker_does_not_spend_what_is_anothers() {
        let (one, other) = (GatePace::new(&limits(1, 2, 64)), GatePace::new(&limits(1, 2, 64)));
        while one.turn().now_or_never().is_some() {}
        assert!(other.turn().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_at_once_are_bounded() {
        let pace = GatePace::new(&limits(1_000, 1_000, 2));
        let (one, _other) = (pace.turn().await, pace.turn().await);
        assert!(pace.turn().now_or_never().is_none());
        drop(one);
        assert!(pace.turn().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn single_bytes_are_paid_by_reads() {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let mut paced = Paced::new(ours, GatePace::new(&limits(10, 1, 64)));
        tokio::spawn(async move { theirs.write_all(&[b'x'; 84]).await });
        let begun = Instant::now();
        paced.read_exact(&mut [0; 84]).await.unwrap();
        // Four at once, then forty in a second; the last one is not waited for.
        let taken = begun.elapsed();
        assert!((1_970..=2_010).contains(&taken.as_millis()), "{taken:?}");
        // It can be written to meanwhile, and the end is told.
        assert_eq!(paced.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
