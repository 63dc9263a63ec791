//! Values in files of their own: a service manager hands a secret over as a file that only the process reads, and the
//! environment, which others can see, holds the file's name. No error here ever shows what is in such a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;

use super::Error;

/// The end of a variable that names the file of a value: `DAYBOOK_STORE__URL_FILE` is the file of `store.url`.
const FILE: &str = "_FILE";
/// The largest file that can be a value.
const MOST: u64 = 64 * 1024;

/// Puts the contents of files where variables name them. Line breaks at the end of a file are not a part of its value.
pub(super) fn read(variables: HashMap<String, String>) -> Result<HashMap<String, String>, Error> {
    let (files, mut values): (HashMap<_, _>, HashMap<_, _>) =
        variables.into_iter().partition(|(key, _)| key.ends_with(FILE));
    for (key, path) in files {
        let refuse = |why: String| Err(Error::Value { key: "the environment", why });
        let name = &key[..key.len() - FILE.len()];
        if values.contains_key(name) {
            return refuse(format!("DAYBOOK_{name} and DAYBOOK_{key} are both set"));
        }
        let mut value = String::new();
        // Not by its metadata: a pipe has no size.
        let read = File::open(&path).and_then(|file| file.take(MOST + 1).read_to_string(&mut value));
        let value = match read {
            Ok(size) if size as u64 > MOST => return refuse(format!("DAYBOOK_{key}: {path} is too large for a value")),
            Ok(_) => Ok(value),
            Err(error) => Err(error),
        };
        match value {
            Ok(value) => drop(values.insert(name.to_owned(), value.trim_end_matches(['\n', '\r']).to_owned())),
            Err(error) => return refuse(format!("DAYBOOK_{key}: {path} cannot be read: {error}")),
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use crate::config::{Config, Error, Sources};

    fn load(pairs: &[(&str, &str)]) -> Result<Config, Error> {
        let environment = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Sources { environment, ..Sources::default() }.load()
    }

    #[test]
    fn a_value_is_read_from_the_file_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.url");
        std::fs::write(&file, "postgres://app:s3cret@db/x\n").unwrap();
        let config = load(&[("DAYBOOK_STORE__URL_FILE", file.to_str().unwrap())]).unwrap();
        assert_eq!(config.store.url.secret(), "postgres://app:s3cret@db/x");
    }

    #[test]
    fn a_file_that_is_not_there_and_a_value_that_is_there_twice_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.url");
        let path = file.to_str().unwrap();
        let refused = load(&[("DAYBOOK_STORE__URL_FILE", path)]).unwrap_err().to_string();
        assert!(refused.contains(path) && refused.contains("DAYBOOK_STORE__URL_FILE"), "{refused}");
        std::fs::write(&file, "mysql://app:s3cret@db/x").unwrap();
        let refused = load(&[("DAYBOOK_STORE__URL_FILE", path)]).unwrap_err().to_string();
        assert!(refused.contains("mysql") && !refused.contains("s3cret"), "{refused}");
        let twice = [("DAYBOOK_STORE__URL_FILE", path), ("DAYBOOK_STORE__URL", "postgres://db/x")];
        let refused = load(&twice).unwrap_err().to_string();
        assert!(refused.contains("both set") && !refused.contains("s3cret"), "{refused}");
        std::fs::write(&file, "x".repeat(70_000)).unwrap();
        assert!(load(&twice[..1]).unwrap_err().to_string().contains("too large"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_file_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        std::fs::write(&file, "x").unwrap();
        let refused = load(&[("DAYBOOK_STORE__ULR_FILE", file.to_str().unwrap())]).unwrap_err().to_string();
        assert!(refused.contains("ulr"), "{refused}");
    }
}
