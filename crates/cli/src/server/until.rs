//! How tests wait.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Until a condition holds; a test that waits in vain fails.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(Duration::from_secs(30), waiting).await.is_ok(), "{what} did not come");
}
