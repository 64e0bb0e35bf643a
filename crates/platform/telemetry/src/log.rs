//! One JSON line per event, dated to the hour.

use std::fmt;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::panic;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use coarse::Clock;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Where log lines go.
#[derive(Clone, Debug)]
pub enum LogTarget {
    /// The process's standard error.
    Stderr,
    /// The end of this file, which only its owner may read.
    File(PathBuf),
}

impl std::str::FromStr for LogTarget {
    type Err = std::convert::Infallible;

    /// `stderr`, or a file's path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "stderr" { Self::Stderr } else { Self::File(text.into()) })
    }
}

/// Why a process can't log.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The file can't be opened.
    #[error("can't open the log file {0}")]
    Open(PathBuf, #[source] io::Error),
    /// The process logs already.
    #[error("logging is set up already")]
    Twice,
}

/// Sets up this process's log. Only events of the crates in `crates` (a target is a crate's name, or a
/// module under it) at `level` or above are written: `{"hour":"2026-11-20T23Z","level":"INFO",
/// "service":"dip","message":"...", fields...}`. A panic is logged with its place and without its
/// message, which could quote a request.
pub fn init(
    service: &'static str,
    target: &LogTarget,
    crates: &'static [&'static str],
    level: Level,
    clock: impl Clock + 'static,
) -> Result<(), InitError> {
    let output: Box<dyn Write + Send> = match target {
        LogTarget::Stderr => Box::new(io::stderr()),
        LogTarget::File(path) => {
            let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
            let private = opened.and_then(|file| {
                file.set_permissions(Permissions::from_mode(0o600))?;
                Ok(file)
            });
            Box::new(private.map_err(|error| InitError::Open(path.clone(), error))?)
        }
    };
    let log = Log::new(service, output, crates, level, clock);
    let on_panic = log.clone();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log))
        .map_err(|_| InitError::Twice)?;
    panic::set_hook(Box::new(move |info| on_panic.panicked(info)));
    Ok(())
}

/// The layer that writes log lines; for [`init`], and for tests that look at them.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    service: &'static str,
    output: Mutex<Box<dyn Write + Send>>,
    crates: &'static [&'static str],
    level: Level,
    clock: Box<dyn Clock>,
}

impl Log {
    /// A layer that writes to `output`; the rest as for [`init`].
    pub fn new(
        service: &'static str,
        output: Box<dyn Write + Send>,
        crates: &'static [&'static str],
        level: Level,
        clock: impl Clock + 'static,
    ) -> Self {
        let (output, clock) = (Mutex::new(output), Box::new(clock));
        Self(Arc::new(Inner { service, output, crates, level, clock }))
    }

    fn write(&self, level: Level, fields: Map<String, Value>) {
        let mut line = Map::new();
        line.insert("hour".into(), self.0.clock.now().hour().to_string().into());
        line.insert("level".into(), level.as_str().into());
        line.insert("service".into(), self.0.service.into());
        for (name, value) in fields {
            line.entry(name).or_insert(value);
        }
        let line = format!("{}\n", Value::Object(line));
        let mut output = self.0.output.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that can't be written is no reason to fail a request, and there is nowhere to say so.
        let _ = output.write_all(line.as_bytes());
    }

    fn panicked(&self, info: &panic::PanicHookInfo<'_>) {
        let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
        let mut fields = Map::new();
        fields.insert("message".into(), "panicked".into());
        fields.insert("place".into(), place.unwrap_or_default().into());
        self.write(Level::ERROR, fields);
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let source = metadata.target().split("::").next().unwrap_or_default();
        metadata.is_event() && *metadata.level() <= self.0.level && self.0.crates.contains(&source)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        self.write(*event.metadata().level(), fields.0);
    }
}

/// An event's fields as JSON.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use coarse::{FixedClock, UnixTime};

    use super::*;

    /// 2026-11-20T23:42:17Z
    const NOW: UnixTime = UnixTime::from_seconds(1_795_218_137);

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn lines(&self) -> Vec<Value> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    fn log(level: Level) -> (Page, Log) {
        let page = Page::default();
        let output = Box::new(page.clone());
        (page, Log::new("dip", output, &["dip", "service"], level, FixedClock::new(NOW)))
    }

    fn logged(level: Level, events: impl FnOnce()) -> Vec<Value> {
        let (page, log) = log(level);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), events);
        page.lines()
    }

    #[test]
    fn a_line_has_its_fields_and_the_hour_only() {
        let lines = logged(Level::INFO, || {
            tracing::warn!(
                target: "dip::pool", free = 3_u64, full = false, region = "eu", rest = -1, share = 0.5,
                debug = ?Some(1), hour = "mine", "the pool is {}", "low"
            );
        });
        let expected = serde_json::json!([{
            "hour": "2026-11-20T23Z", "level": "WARN", "service": "dip", "message": "the pool is low",
            "free": 3, "full": false, "region": "eu", "rest": -1, "share": 0.5, "debug": "Some(1)",
        }]);
        assert_eq!(Value::from(lines), expected);
    }

    #[test]
    fn only_named_crates_at_the_level_are_heard() {
        let lines = logged(Level::INFO, || {
            tracing::info!(target: "hyper::proto", "a peer's address");
            tracing::error!(target: "dipper", "another crate");
            tracing::debug!(target: "dip", "too fine");
            let _inside = tracing::info_span!(target: "dip", "request", id = 7).entered();
            tracing::info!(target: "service", "heard");
        });
        let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, ["heard"]);
        assert!(lines[0].get("id").is_none() && lines[0].get("span").is_none());
    }

    #[test]
    fn newlines_cannot_forge_a_line() {
        let lines = logged(Level::INFO, || tracing::info!(target: "dip", "a\n{{\"level\":\"x\"}}"));
        assert_eq!(lines.len(), 1);
    }

    /// The one test that sets up the whole process: a file, private, and a panic without its message.
    #[test]
    fn a_process_logs_to_a_private_file() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("dip.log");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let target = LogTarget::File(path.clone());
        let usual = panic::take_hook();
        let set =
            || init("dip", &target, &["telemetry_process"], Level::INFO, FixedClock::new(NOW));
        set().unwrap();
        assert!(matches!(set(), Err(InitError::Twice)));
        tracing::info!(target: "telemetry_process", "starting");
        let _ = std::thread::spawn(|| panic!("token 4711")).join();
        panic::set_hook(usual);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("starting") && text.contains("\"panicked\""));
        assert!(text.contains("log.rs:") && !text.contains("4711"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let nowhere = LogTarget::File(room.path().join("missing/dip.log"));
        let result = init("dip", &nowhere, &[], Level::INFO, FixedClock::new(NOW));
        assert!(matches!(result, Err(InitError::Open(..))));
    }
}
