//! Callers who ask too much, and pages of other sites.

use clm_domain::permission::Permissions;
use clm_tests::Program;
use clm_tests::databases::Superuser;
use clm_tests::rest::{Call, NOBODY, Rest, bearer};

fn serve(settings: &[(&str, &str)]) -> Program {
    let mut program = Program::prepare();
    for (name, value) in settings {
        let setting = ((*name).to_owned(), (*value).to_owned());
        program.environment.push(setting);
    }
    program.serve();
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_asks_too_much_waits_and_others_do_not() {
    let program = serve(&[("CLM_RATE_LIMIT_PER_PRINCIPAL", "1")]);
    let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
    let organization = superuser.organization("default").await;
    let nothing = Permissions::none();
    let greedy = superuser
        .insert_person(organization, "greedy", &nothing)
        .await;
    let modest = superuser
        .insert_person(organization, "modest", &nothing)
        .await;
    let call = |secret: &str| Call::new("GET", "/api/v1/whoami").by(&bearer(secret));
    let mut passed = 0;
    let refused = loop {
        let answer = rest.send(call(&greedy.secret)).await;
        if answer.status != 200 {
            break answer.expect(429);
        }
        passed += 1;
        let policy = &answer.headers["ratelimit-policy"];
        assert_eq!(policy, "\"principal\";q=10;w=10");
        assert!(answer.headers["ratelimit"].to_str().unwrap().contains("r="));
        assert!(passed < 1_000, "nobody stops the greedy");
    };
    assert!(passed >= 10, "the burst: {passed}");
    assert_eq!(refused.code(), "rate_limited");
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    rest.send(call(&modest.secret)).await.expect(200);
    // Who waits as told is served.
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    rest.send(call(&greedy.secret)).await.expect(200);
    // The operator of the machine and the probes of health are not held up.
    for _ in 0..30 {
        assert!(program.cli(&["whoami"]).status.success());
        rest.send(Call::new("GET", "/healthz").by(&NOBODY))
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_guesses_is_held_up_sooner() {
    let program = serve(&[("CLM_RATE_LIMIT_PER_ADDRESS", "1")]);
    let rest = Rest::of(&program);
    let mut refusals = 0;
    loop {
        let guess = Call::new("GET", "/api/v1/whoami").by(&bearer("clm_guess"));
        let answer = rest.send(guess).await;
        if answer.status == 429 {
            assert_eq!(answer.code(), "rate_limited");
            break;
        }
        answer.expect(401);
        refusals += 1;
        assert!(refusals < 1_000, "nobody stops the guessing");
    }
    assert!(
        (1..=9).contains(&refusals),
        "{refusals} guesses in a burst of ten"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_get_no_leave_to_read() {
    let program = serve(&[]);
    let rest = Rest::of(&program);
    for method in ["GET", "OPTIONS"] {
        let call = Call::new(method, "/api/v1/whoami")
            .by(&NOBODY)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "GET");
        let answer = rest.send(call).await;
        let allowing = answer
            .headers
            .keys()
            .find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(allowing, None, "{method}: {answer:?}");
        assert!(!(200..300).contains(&answer.status), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_no_number_is_named() {
    let mut program = Program::prepare();
    let setting = ("CLM_RATE_LIMIT_PER_ADDRESS".to_owned(), "many".to_owned());
    program.environment.push(setting);
    program.spawn();
    assert!(!program.wait_for_end().success());
    assert!(
        program
            .read_log()
            .contains("CLM_RATE_LIMIT_PER_ADDRESS='many'")
    );
}
