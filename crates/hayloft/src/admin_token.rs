//! The administrator's bearer token in the data folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hayloft_model::{Entropy, Secret};

use crate::failure::Failure;

const FILE: &str = "admin-token";

/// The shortest token that an operator may choose, in characters.
const SHORTEST: usize = 16;

/// The token that was there, or a new one.
#[derive(Debug)]
pub(crate) enum AdminToken {
    /// It was there.
    Found(Secret<String>),
    /// It was made just now.
    Made {
        /// The token.
        token: Secret<String>,
        /// Where it lies.
        path: PathBuf,
    },
}

/// The token of a data folder, if it has one.
///
/// # Errors
/// When it cannot be read, or others could have read it.
pub(crate) fn read(data_dir: &Path) -> Result<Option<Secret<String>>, Failure> {
    let path = data_dir.join(FILE);
    let failed = |error: &io::Error| Failure::caused(format!("failed to read `{}`", path.display()), error);
    let mode = match fs::metadata(&path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    if mode & 0o077 != 0 {
        return Err(Failure::new(format!(
            "failed to use `{}`: its mode is {:03o}, so others may read the administrator's token",
            path.display(),
            mode & 0o777
        ))
        .hint(format!("delete it to get a new token, or run `chmod 600 {}`", path.display())));
    }
    let token = fs::read_to_string(&path).map_err(|error| failed(&error))?;
    check(token.trim()).map_err(|why| Failure::new(format!("failed to use `{}`: {why}", path.display())))?;
    Ok(Some(Secret::new(token.trim().to_owned())))
}

/// The token of a data folder that is ours alone; a new one if it has none.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn read_or_make(data_dir: &Path, entropy: &dyn Entropy) -> Result<AdminToken, Failure> {
    if let Some(token) = read(data_dir)? {
        return Ok(AdminToken::Found(token));
    }
    let mut random = [0; 32];
    entropy.fill(&mut random);
    let token = Secret::new(format!("hla_{}", hex::encode(random)));
    let path = data_dir.join(FILE);
    write(data_dir, &path, &token)
        .map_err(|error| Failure::caused(format!("failed to write `{}`", path.display()), &error))?;
    Ok(AdminToken::Made { token, path })
}

/// What is wrong with a token that an operator chose.
///
/// # Errors
/// A fragment such as "it is too short".
pub(crate) fn check(token: &str) -> Result<(), String> {
    if token.len() < SHORTEST {
        return Err(format!("it has fewer than {SHORTEST} characters"));
    }
    if token.len() > 512 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(String::from("it has more than 512 characters, or some that are not printable ASCII"));
    }
    Ok(())
}

/// Writes the file in one step, on the disk when this returns, never over another one.
fn write(data_dir: &Path, path: &Path, token: &Secret<String>) -> io::Result<()> {
    let mut file =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o600)).tempfile_in(data_dir)?;
    writeln!(file, "{}", token.expose())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Same;

    impl Entropy for Same {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xab);
        }
    }

    #[test]
    fn a_token_is_made_once_and_only_for_us() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap().is_none());
        let AdminToken::Made { token, path } = read_or_make(folder.path(), &Same).unwrap() else {
            panic!("there was none");
        };
        assert_eq!(token.expose(), &format!("hla_{}", "ab".repeat(32)));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let AdminToken::Found(again) = read_or_make(folder.path(), &Same).unwrap() else {
            panic!("there is one");
        };
        assert_eq!(again, token);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("mode is 640"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("fewer than 16"));
    }
}
