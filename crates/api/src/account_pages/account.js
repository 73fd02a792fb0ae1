"use strict";

// The token leaves the address bar, and with it the history, before anything else happens.
const token = new URLSearchParams(window.location.hash.slice(1)).get("token") || "";
window.history.replaceState(null, "", window.location.pathname);

const page = document.body.dataset.page;
const form = document.getElementById("with-token");
const statusLine = document.getElementById("status");

function say(text, isBad) {
  statusLine.textContent = text;
  statusLine.classList.toggle("bad", Boolean(isBad));
  statusLine.focus();
}

async function send(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
  } catch {
    throw new Error("The server cannot be reached. Check the connection and try again.");
  }
  if (answer.ok) {
    return;
  }
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail || "This did not work. Try again later.");
}

const acts = {
  "reset-password": async () => {
    const chosen = document.getElementById("new-password");
    const again = document.getElementById("again");
    if (chosen.value !== again.value) {
      throw new Error("The two passwords are not the same.");
    }
    await send("/api/v1/password-resets/confirm", { token, new_password: chosen.value });
    form.hidden = true;
    return "The password is set. Sign in with it.";
  },
  "verify-email": async () => {
    await send("/api/v1/email-verifications/confirm", { token });
    form.hidden = true;
    return "Thank you. The address is confirmed.";
  },
  "accept-invitation": async () => {
    document.getElementById("token").select();
    await navigator.clipboard.writeText(token).catch(() => {
      throw new Error("Copy the token by hand: it is selected.");
    });
    return "Copied.";
  },
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    say(await acts[page](), false);
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
});

if (token === "") {
  document.getElementById("without-token").hidden = false;
} else {
  const shown = document.getElementById("token");
  if (shown) {
    shown.value = token;
  }
  form.hidden = false;
}
