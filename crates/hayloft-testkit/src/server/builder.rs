//! How a server is started, and on which folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::running::Running;
use super::{ADMIN_TOKEN, DATA, PATIENCE, TEMPORARY, TestServer};
use crate::client::Address;
use crate::http_client::HttpClient;
use crate::process::Offspring;
use crate::workspace;

/// How to start a server.
#[derive(Clone, Debug)]
pub struct TestServerBuilder {
    pub(super) binary: PathBuf,
    pub(super) plugins: Vec<PathBuf>,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) isolation: Option<String>,
    pub(super) user: Option<u32>,
    pub(super) own_admin_token: bool,
    pub(super) leftovers_expected: bool,
    pub(super) patience: Duration,
}

/// A server that ended before it served.
#[derive(Debug)]
pub struct StartFailure {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl TestServerBuilder {
    /// A server of this build, without plugins.
    pub(super) fn new() -> Self {
        Self {
            binary: workspace::hayloft_binary(),
            plugins: Vec::new(),
            arguments: Vec::new(),
            // What is started for nobody would be in the way of whoever counts workers and processes.
            environment: vec![("HAYLOFT_LIMITS_WARM_POOL".to_owned(), "0".to_owned())],
            isolation: None,
            user: None,
            own_admin_token: false,
            leftovers_expected: false,
            patience: PATIENCE,
        }
    }

    /// Another binary than the one of this build.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    /// Adds a folder of plugins.
    #[must_use]
    pub fn plugins(mut self, folder: impl Into<PathBuf>) -> Self {
        self.plugins.push(folder.into());
        self
    }

    /// Adds arguments behind `serve`.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Has workers ready before somebody needs them, within so much memory; a test server has none otherwise.
    #[must_use]
    pub fn warm_pool(self, memory: &str) -> Self {
        self.environment("HAYLOFT_LIMITS_WARM_POOL", memory)
    }

    /// Sets a variable of the server's environment, which otherwise holds only what programs need to run.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The weakest isolation that the server accepts, if not its own default.
    #[must_use]
    pub fn isolation(mut self, weakest: &str) -> Self {
        self.isolation = Some(weakest.to_owned());
        self
    }

    /// Runs the server as another user, who then owns its folder. Only root can do that.
    #[must_use]
    pub const fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Lets the server make its administrator's token and write it into its data folder.
    #[must_use]
    pub const fn generated_admin_token(mut self) -> Self {
        self.own_admin_token = true;
        self
    }

    /// Says that this test expects leftovers and looks for them itself.
    #[must_use]
    pub const fn leftovers_expected(mut self) -> Self {
        self.leftovers_expected = true;
        self
    }

    /// How long a start, an end, or the end of all its processes may take before the test fails.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts the server and waits until it serves.
    ///
    /// # Panics
    /// If it ends before, showing what it wrote.
    pub async fn start(self) -> TestServer {
        match self.try_start().await {
            Ok(server) => server,
            Err(failure) => {
                panic!("the server ended before it served, {}:\n{}", failure.status, failure.stderr)
            }
        }
    }

    /// Starts the server on a new data folder.
    ///
    /// # Errors
    /// If it ends before it serves.
    pub async fn try_start(self) -> Result<TestServer, StartFailure> {
        let folder = tempfile::Builder::new().prefix("hayloft-test-").tempdir().expect("a temporary folder");
        self.try_start_in(Arc::new(folder)).await
    }

    async fn try_start_in(self, folder: Arc<TempDir>) -> Result<TestServer, StartFailure> {
        fs::create_dir_all(folder.path().join(TEMPORARY)).expect("a folder for temporary files");
        // Workers of a server that is root are other users, and must be able to pass through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("a folder to pass through");
        for own in self.user.iter().flat_map(|user| ["", TEMPORARY].map(|name| (name, *user))) {
            chown(folder.path().join(own.0), Some(own.1), Some(own.1)).expect("a folder of another user");
        }
        let (running, address) = Running::start(&self, folder.path()).await?;
        let admin_token = if self.own_admin_token {
            let file = folder.path().join(DATA).join("admin-token");
            fs::read_to_string(file).expect("the server wrote its administrator's token").trim().to_owned()
        } else {
            ADMIN_TOKEN.to_owned()
        };
        Ok(TestServer {
            builder: self,
            folder,
            running: Some(running),
            offspring: Offspring::default(),
            address: Address::new(address),
            http: HttpClient::new(),
            admin_token,
        })
    }
}
