//! The vendor's own clients against the double: what they are refused, we must not rely on.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};

use crate::peers::microsoft::{CLIENT, GRAPH, Microsoft, SECRET, TENANT};
use crate::peers::program::{python, run};

/// Makes a certificate that the double knows, and gives the keys of the settings that name it.
pub fn certificate(double: &Microsoft) -> String {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate = CertificateParams::new(vec!["app".to_owned()]).unwrap().self_signed(&key).unwrap();
    let print = |algorithm| URL_SAFE_NO_PAD.encode(digest(algorithm, certificate.der()));
    let folder = double.authority.folder();
    std::fs::write(folder.join("app.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("app.key"), key.serialize_pem()).unwrap();
    let mut state = double.state();
    state.public_key = Some(key.der_bytes().to_vec());
    state.thumbprints = (print(&SHA1_FOR_LEGACY_USE_ONLY), print(&SHA256));
    format!("certificate = {:?}\nkey = {:?}", folder.join("app.pem"), folder.join("app.key"))
}

#[test]
fn msal_and_azure_identity_get_tokens_from_the_double() {
    let double = Microsoft::start();
    certificate(&double);
    let Some(mut client) = python("microsoft_clients.py") else { return };
    let (ca, folder) = (double.authority.ca(), double.authority.folder().to_owned());
    let output = run(client
        .args([&double.server.url(), TENANT, CLIENT, SECRET, &format!("{GRAPH}/.default")])
        .arg(folder)
        .env("REQUESTS_CA_BUNDLE", &ca)
        .env("SSL_CERT_FILE", &ca));
    for line in [
        "azure-identity secret: token",
        "msal secret: token",
        "msal certificate: token",
        "msal wrong secret: AADSTS7000215",
    ] {
        assert!(output.contains(line), "{line:?} is missing in\n{output}");
    }
}
