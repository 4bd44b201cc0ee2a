//! Work that goes on to its end although whoever asked for it went away.

use std::future::{Future, pending};
use std::panic::resume_unwind;

/// Runs work in a task of its own. A client that hangs up drops the future that waits, not the work: what was begun in
/// the store is finished in memory and in the processes.
pub(crate) async fn uninterrupted<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Nobody aborts the task, so the runtime itself is going down, and nobody will read an answer.
            Err(_) => pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_finished_without_its_caller() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let mut asked = Box::pin(uninterrupted(async move {
            wait.await.unwrap();
            done.send(7).unwrap();
        }));
        assert!(poll!(&mut asked).is_pending());
        drop(asked);
        go.send(()).unwrap();
        assert_eq!(finished.await, Ok(7));
    }
}
