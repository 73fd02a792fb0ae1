#![allow(missing_docs, clippy::allow_attributes, clippy::too_many_lines, clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]
use std::sync::Arc;
use std::time::Duration;
use chrono::{DateTime, TimeDelta, Utc};
use clm_database::pool::{Database, Pool, PoolOptions};
use clm_domain::actor::Actor;
use clm_domain::certificate_plan::*;
use clm_domain::clock::{Clock, Rng, whole_milliseconds};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::*;
use clm_domain::issuer_limits::*;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use clm_domain::states::*;
use clm_pki::csr::CertificationRequest;
use clm_pki::name::NameBuilder;
use clm_secure::*;
use clm_secure_api::command::*;
use clm_secure_api::*;

struct Wall;
impl Clock for Wall { fn now(&self) -> DateTime<Utc> { DateTime::from(std::time::SystemTime::now()) } }
struct Os;
impl Rng for Os { fn fill(&self, b: &mut [u8]) { aws_lc_rs::rand::fill(b).unwrap() } }

fn ctx(org: OrganizationId, key: Option<(u8, u8)>) -> CallContext {
    CallContext { caller: Caller::Core, actor: Actor::LocalOperator { uid: 42 }, organization_id: org,
        request_id: RequestId::generate(Wall.now(), &Os),
        idempotency_key: key.map(|(k, r)| { let mut a=[k;32]; a[..16].copy_from_slice(org.as_uuid().as_bytes()); IdempotencyKey { key_sha256: a, request_sha256: [r; 32] }}),
        deadline: Wall.now() + TimeDelta::seconds(60) }
}
fn limits(ca: bool) -> IssuerLimits {
    IssuerLimits { certificate_authority: ca, extended_key_usage: vec![extended_key_usage::SERVER_AUTH.parse().unwrap()],
        key_algorithms: KeyAlgorithm::ALL.to_vec(), validity_seconds_max: 400*86400*10, names: NameLimits::default(), issuances_per_minute_max: None }
}
fn plan(spki: Vec<u8>, alg: KeyAlgorithm, name: &str) -> CertificatePlan {
    let now = DateTime::from_timestamp(Wall.now().timestamp(), 0).unwrap();
    let mut p = CertificatePlan::end_entity(CertificateType::Server, NameBuilder::new().add("CN", name).unwrap().build(), spki, alg, (now, now + TimeDelta::days(47)));
    p.key_usage.digital_signature = true;
    p.extended_key_usage = vec![extended_key_usage::SERVER_AUTH.parse().unwrap()];
    p.subject_alternative_names = vec![GeneralName::Dns(name.to_owned())];
    p
}
fn issue_cmd(issuer: IssuerId, key_source: KeySource, plan: CertificatePlan) -> IssueCertificate {
    IssueCertificate { certificate_request_id: CertificateRequestId::generate(Wall.now(), &Os), certificate_id: CertificateId::generate(Wall.now(), &Os),
        issuer_id: issuer, key_source, plan, context: IssuanceContext { tags: vec!["a".into()], ..Default::default() } }
}
fn write_pem(path: &str, ders: &[&[u8]]) { std::fs::write(path, ders.iter().map(|d| clm_pki::pem::encode("CERTIFICATE", d)).collect::<String>()).unwrap(); }
fn sh(c: &str) -> String { let o = std::process::Command::new("sh").arg("-c").arg(c).output().unwrap(); format!("{}{}", String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr)) }

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let dir = "/tmp/smoke_secure"; std::fs::create_dir_all(dir).unwrap();
    let path = std::path::PathBuf::from(format!("{dir}/master.key"));
    let mk = if path.exists() { FileMasterKey::load(&path).unwrap() } else { FileMasterKey::create(&path, &Os).unwrap() };
    let connect: sqlx::postgres::PgConnectOptions = "postgres://clm_secure_user@127.0.0.1:5499/clm_secure_smoke".parse().unwrap();
    let pool = Pool::new(Database::Secure, connect, &PoolOptions::default());
    let options = |mk: Arc<dyn MasterKeyProvider>| SecureOptions { pool: pool.clone(), master_key: mk, clock: Arc::new(Wall), rng: Arc::new(Os), relay_delay: Duration::from_millis(0), rsa_keys_ahead: 0 };
    let secure = Arc::new(Secure::open(options(Arc::new(mk))).await.unwrap());
    let client = SecureClient::new(secure.clone());
    let org = OrganizationId::generate(Wall.now(), &Os);
    let other = OrganizationId::generate(Wall.now(), &Os);
    let subject = |n: &str| NameBuilder::new().add("C", "DE").unwrap().add("O", "Example").unwrap().add("CN", n).unwrap().build();
    let root = client.create_certificate_authority(ctx(org, None), CreateCertificateAuthority { name: "Root".into(), subject_der: subject("Example Root"), parent_issuer_id: None,
        key_algorithm: KeyAlgorithm::EcdsaP384, signature_algorithm: KeyAlgorithm::EcdsaP384.default_signature(), validity_seconds: 3650*86400, path_length_max: Some(1), limits: limits(true), organization_ids: vec![] }).await.unwrap();
    let ca = |name: &str, alg: KeyAlgorithm, pl| CreateCertificateAuthority { name: name.into(), subject_der: subject(name), parent_issuer_id: Some(root.issuer_id),
        key_algorithm: alg, signature_algorithm: alg.default_signature(), validity_seconds: 1800*86400, path_length_max: pl, limits: limits(false), organization_ids: vec![other] };
    println!("pathlen too long: {:?}", client.create_certificate_authority(ctx(org, None), ca("Bad", KeyAlgorithm::EcdsaP256, Some(1))).await.unwrap_err());
    let issuing = client.create_certificate_authority(ctx(org, None), ca("Issuing", KeyAlgorithm::EcdsaP256, Some(0))).await.unwrap();
    let again = client.create_certificate_authority(ctx(org, None), ca("Issuing", KeyAlgorithm::EcdsaP256, Some(0))).await.unwrap();
    assert_eq!(issuing, again);
    let rsa = client.create_certificate_authority(ctx(org, None), ca("RSA", KeyAlgorithm::Rsa2048, Some(0))).await.unwrap();
    write_pem(&format!("{dir}/root.pem"), &[&root.certificate_der]);
    sh(&format!("cd {dir} && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj /CN=www.example.org"));
    let csr = CertificationRequest::parse(&std::fs::read(format!("{dir}/leaf.csr")).unwrap()).unwrap();
    let p = plan(csr.spki_der().to_vec(), csr.key_algorithm(), "www.example.org");
    let src = || KeySource::CertificationRequest { der: csr.der().to_vec() };
    for o in [org, other] { for issuer in [&issuing, &rsa] {
        let issued = client.issue_certificate(ctx(o, None), issue_cmd(issuer.issuer_id, src(), p.clone())).await.unwrap();
        write_pem(&format!("{dir}/leaf.pem"), &[&issued.certificate_der]);
        write_pem(&format!("{dir}/chain.pem"), &issued.chain_der.iter().map(|b| b.as_ref()).collect::<Vec<_>>());
        let out = sh(&format!("cd {dir} && openssl verify -x509_strict -CAfile root.pem -untrusted chain.pem leaf.pem"));
        println!("{out}"); assert!(out.contains("OK"));
    } }
    println!("{}", sh(&format!("cd {dir} && openssl x509 -in leaf.pem -noout -text; openssl x509 -in root.pem -noout -text")));
    // replay
    let cmd = issue_cmd(issuing.issuer_id, src(), p.clone());
    let one = client.issue_certificate(ctx(org, Some((1, 1))), cmd.clone()).await.unwrap();
    let mut later = issue_cmd(issuing.issuer_id, src(), p.clone()); later.certificate_request_id = CertificateRequestId::generate(Wall.now(), &Os);
    let two = client.issue_certificate(ctx(org, Some((1, 1))), later.clone()).await.unwrap();
    assert!(two.replayed && !one.replayed); assert_eq!(one.event, two.event); assert_eq!(one.certificate_der, two.certificate_der); assert_eq!(one.chain_der, two.chain_der);
    println!("reuse: {:?}", client.issue_certificate(ctx(org, Some((1, 2))), later).await.unwrap_err());
    println!("same request id, no key, other cert: {:?}", client.issue_certificate(ctx(org, None), IssueCertificate { certificate_id: CertificateId::generate(Wall.now(), &Os), ..cmd.clone() }).await.unwrap_err());
    println!("same request id in another org: {:?}", client.issue_certificate(ctx(other, None), cmd.clone()).await.unwrap_err());
    // concurrency on a key
    let tasks: Vec<_> = (0..20).map(|_| { let c = client.clone(); let cmd = issue_cmd(issuing.issuer_id, src(), p.clone()); tokio::spawn(async move { c.issue_certificate(ctx(org, Some((9, 9))), cmd).await.unwrap() }) }).collect();
    let mut ders = vec![]; let mut fresh = 0; for t in tasks { let i = t.await.unwrap(); if !i.replayed { fresh += 1 } ders.push(i.certificate_der); }
    ders.dedup(); assert_eq!((ders.len(), fresh), (1, 1));
    // refusals
    let stranger = OrganizationId::generate(Wall.now(), &Os);
    println!("stranger: {:?}", client.issue_certificate(ctx(stranger, None), issue_cmd(issuing.issuer_id, src(), p.clone())).await.unwrap_err());
    let mut bad = p.clone(); bad.extended_key_usage = vec![extended_key_usage::CODE_SIGNING.parse().unwrap()];
    println!("limits: {:?}", client.issue_certificate(ctx(org, None), issue_cmd(issuing.issuer_id, src(), bad)).await.unwrap_err());
    let mut bad = p.clone(); bad.not_after = issuing.not_after + TimeDelta::seconds(1);
    println!("outlive: {:?}", client.issue_certificate(ctx(org, None), issue_cmd(issuing.issuer_id, src(), bad)).await.unwrap_err());
    let mut bad = p.clone(); bad.subject_alternative_names.push(GeneralName::Dns("under_score.example.org".into()));
    println!("lint: {:?}", client.issue_certificate(ctx(org, None), issue_cmd(issuing.issuer_id, src(), bad)).await.unwrap_err());
    let mut tampered = csr.der().to_vec(); let n = tampered.len(); tampered[n - 3] ^= 1;
    println!("pop: {:?}", client.issue_certificate(ctx(org, None), issue_cmd(issuing.issuer_id, KeySource::CertificationRequest { der: tampered }, p.clone())).await.unwrap_err());
    println!("anonymous: {:?}", client.issue_certificate(CallContext { actor: Actor::Anonymous, ..ctx(org, None) }, issue_cmd(issuing.issuer_id, src(), p.clone())).await.unwrap_err());
    println!("late: {:?}", client.issue_certificate(CallContext { deadline: Wall.now() - TimeDelta::seconds(1), ..ctx(org, None) }, issue_cmd(issuing.issuer_id, src(), p.clone())).await.unwrap_err());
    // generated + export
    for alg in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519] {
        let made = client.issue_certificate(ctx(other, Some((alg as u8 + 50, 1))), issue_cmd(issuing.issuer_id, KeySource::Generate, plan(vec![], alg, "gen.example.org"))).await.unwrap();
        let id = made.event.body.record().certificate_id;
        let exported = client.export_private_key(ctx(other, None), ExportPrivateKey { certificate_id: id, passphrase: SecretString::new("correct horse battery".into()) }).await.unwrap();
        std::fs::write(format!("{dir}/gen.key"), exported.encrypted_pkcs8_pem.expose()).unwrap();
        write_pem(&format!("{dir}/gen.pem"), &[&made.certificate_der]);
        let out = sh(&format!("cd {dir} && openssl pkey -in gen.key -passin 'pass:correct horse battery' -pubout > a.pub; openssl x509 -in gen.pem -noout -pubkey > b.pub; cmp a.pub b.pub && echo SAMEKEY"));
        println!("{alg}: {out}"); assert!(out.contains("SAMEKEY"));
        println!("export by another org: {:?}", client.export_private_key(ctx(org, None), ExportPrivateKey { certificate_id: id, passphrase: SecretString::new("correct horse battery".into()) }).await.unwrap_err());
        let loaded = client.load_certificate(ctx(other, None), LoadCertificate { certificate_id: id }).await.unwrap();
        assert_eq!(&loaded.record, made.event.body.record()); assert_eq!(loaded.chain_der, made.chain_der);
    }
    println!("export CA: {:?}", client.export_private_key(ctx(org, None), ExportPrivateKey { certificate_id: issuing.certificate_id, passphrase: SecretString::new("correct horse battery".into()) }).await.unwrap_err());
    println!("export csr: {:?}", client.export_private_key(ctx(org, None), ExportPrivateKey { certificate_id: one.event.body.record().certificate_id, passphrase: SecretString::new("correct horse battery".into()) }).await.unwrap_err());
    // queries
    let requests = client.list_certificate_requests(ctx(org, None), ListCertificateRequests { after: None, limit: 2 }).await.unwrap();
    println!("{requests:#?}");
    let more = client.list_certificate_requests(ctx(org, None), ListCertificateRequests { after: Some(requests[1].certificate_request_id), limit: 200 }).await.unwrap();
    println!("more {}", more.len());
    assert_eq!(client.load_certificate_request(ctx(org, None), LoadCertificateRequest { certificate_request_id: requests[0].certificate_request_id }).await.unwrap(), requests[0]);
    let cas = client.list_certificate_authorities(ctx(other, None), ListCertificateAuthorities { after: None, limit: 10 }).await.unwrap();
    assert_eq!(cas.len(), 2); assert_eq!(cas[0].chain_der.len(), 1);
    assert_eq!(client.list_certificate_authorities(ctx(org, None), ListCertificateAuthorities { after: None, limit: 10 }).await.unwrap().len(), 3);
    assert_eq!(client.load_certificate_authority(ctx(other, None), LoadCertificateAuthority { issuer_id: issuing.issuer_id }).await.unwrap(), issuing);
    // events
    let events = client.pull_events(ctx(org, None), PullEvents { limit: 500 }).await.unwrap();
    println!("events {}", events.len());
    assert!(events.iter().any(|e| *e == one.event));
    assert!(client.pull_events(ctx(org, None), PullEvents { limit: 500 }).await.unwrap().is_empty());
    let n = client.acknowledge_events(ctx(org, None), AcknowledgeEvents { event_ids: events.iter().map(|e| e.event_id).collect() }).await.unwrap();
    assert_eq!(n as usize, events.len());
    let replay = client.issue_certificate(ctx(org, Some((1, 1))), cmd.clone()).await.unwrap(); assert_eq!(replay.event, one.event);
    let mut after = None; let mut states = vec![];
    loop { let page = client.list_certificate_states(ctx(org, None), ListCertificateStates { after, limit: 7 }).await.unwrap(); if page.is_empty() { break } after = Some(page.last().unwrap().record.certificate_id); states.extend(page); }
    assert!(states.iter().all(|s| s.audited)); println!("states {} issuers {}", states.len(), states.iter().filter(|s| s.is_issuer).count());
    println!("{:?}", client.check_health(ctx(org, None), CheckHealth {}).await.unwrap());
    println!("partitions {:?}", secure.ensure_audit_partitions().await);
    // another master key is refused
    let p2 = std::path::PathBuf::from(format!("{dir}/other{}.key", Wall.now().timestamp_micros()));
    let foreign = FileMasterKey::create(&p2, &Os).unwrap();
    println!("{}", Secure::open(options(Arc::new(foreign))).await.err().unwrap());
    // audit rows hash back
    let now = whole_milliseconds(Wall.now()); let _ = now;
    // throughput
    let n = 2000; let begun = std::time::Instant::now();
    let tasks: Vec<_> = (0..16).map(|_| { let s = secure.clone(); let csr = csr.der().to_vec(); let p = p.clone(); let issuer = issuing.issuer_id; tokio::spawn(async move { for _ in 0..n / 16 {
        s.call(ctx(org, None), Command::IssueCertificate(Box::new(issue_cmd(issuer, KeySource::CertificationRequest { der: csr.clone() }, p.clone())))).await.unwrap(); } }) }).collect();
    for t in tasks { t.await.unwrap(); }
    println!("{} issuances per second", f64::from(n) / begun.elapsed().as_secs_f64());
}
