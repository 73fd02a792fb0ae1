//! Tests of `bootstrap`.

use super::*;

struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let name = hex::encode(random_bytes::<8>(&SystemRng));
        let path = std::env::temp_dir().join(format!("clm-bootstrap-{name}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::new(text.to_owned())
}

#[test]
fn a_password_that_the_policy_refuses_is_not_noted() {
    let place = Place::new();
    let path = place.0.join("bootstrap.json");
    let error = first_password(Some(&secret("short")), &path).unwrap_err();
    assert!(format!("{error:#}").contains(PASSWORD_VARIABLE));
    assert!(!path.exists());

    let chosen = "a password of my own";
    first_password(Some(&secret(chosen)), &path).unwrap();
    assert_eq!(first_password(None, &path).unwrap().expose(), chosen);
}

#[test]
fn a_noted_password_that_the_policy_refuses_is_replaced() {
    let place = Place::new();
    let path = place.0.join("bootstrap.json");
    first_password(None, &path).unwrap();
    let mut file = read(&path).unwrap().unwrap();
    file.password = Some("short".to_owned());
    write(&path, &file).unwrap();
    let password = first_password(None, &path).unwrap();
    assert_ne!(password.expose(), "short");
    assert_eq!(
        read(&path).unwrap().unwrap().password.as_deref(),
        Some(password.expose())
    );
}

#[test]
fn leftovers_are_swept_and_nothing_else() {
    let place = Place::new();
    for name in [
        "bootstrap.1234.new",
        "root-ca.1234.new",
        "bootstrap.json",
        "other.new",
    ] {
        fs::write(place.0.join(name), "").unwrap();
    }
    files::sweep(&place.0, &["bootstrap.json", "root-ca.pem"]).unwrap();
    let mut left: Vec<_> = fs::read_dir(&place.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["bootstrap.json", "other.new"]);
}
