//! `hayloft workers`

use http::Method;

use super::Context;
use crate::cli::ServerArgs;
use crate::failure::Failure;
use crate::output;

/// Lists the workers that run.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, server: &ServerArgs) -> Result<(), Failure> {
    let listed = context.client(&server.connection).await?.ask(Method::GET, "/v1/workers", None).await?;
    if server.format.json {
        return output::json(&listed);
    }
    let columns = [
        "org",
        "pluginId",
        "state",
        "pid",
        "startedAt",
        "lastActivityAt",
        "restarts",
        "rssBytes",
        "cpuSeconds",
        "eventLoopStalls",
        "isolation",
    ];
    let head = [
        "organization",
        "plugin",
        "state",
        "pid",
        "started",
        "last activity",
        "restarts",
        "memory",
        "processor time",
        "stalls",
        "isolation",
    ];
    let rows = output::rows(&listed, "workers", columns).into_iter();
    let readable = rows.map(|row| {
        let [org, plugin, state, pid, started, last, restarts, memory, processor, stalls, isolation] = row;
        [
            org,
            plugin,
            state,
            pid,
            to_the_second(started),
            to_the_second(last),
            restarts,
            mebibytes(memory),
            seconds(processor),
            stalls,
            isolation,
        ]
    });
    output::table(head, readable)
}

/// A time (RFC 3339) without the fraction that nobody reads.
fn to_the_second(time: String) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time,
    }
}

/// A number of seconds to the hundredth.
fn seconds(number: String) -> String {
    match number.parse::<f64>() {
        Ok(seconds) => format!("{seconds:.2} s"),
        Err(_) => number,
    }
}

/// A number of bytes in a unit that people compare by.
fn mebibytes(bytes: String) -> String {
    match bytes.parse::<u64>() {
        Ok(bytes) => format!("{} MiB", bytes.div_ceil(1 << 20)),
        Err(_) => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_seconds_and_mebibytes() {
        assert_eq!(to_the_second("2026-11-21T04:57:45.085685912Z".into()), "2026-11-21T04:57:45Z");
        assert_eq!(to_the_second("2026-11-21T04:57:45Z".into()), "2026-11-21T04:57:45Z");
        assert_eq!(["16629760", "0", ""].map(|bytes| mebibytes(bytes.into())), ["16 MiB", "0 MiB", ""]);
    }
}
