import { expect, test } from "vitest";
import { httpToolGround } from "../../support/http-tool-ground.ts";

test("quick", async () => {
  await using ground = await httpToolGround({
    allow: ["api.example.com", "http://plain.example.com"],
    answer: (request, response) => {
      if (request.url === "/r") return void response.writeHead(302, { Location: "/j" }).end("x".repeat(1000000));
      response.setHeader("Content-Type", "application/json");
      response.end('{"a":[1]}');
    },
  });
  console.log(await ground.call({ url: "https://api.example.com/r?x=1" }));
  console.log(await ground.call({ url: "http://plain.example.com/r?x=1", body: { a: 1 } }));
  console.log(await ground.call({ url: "http://plain.example.org/r?x=1", body: { a: 1 } }));
  console.log(await ground.call({ url: "https://plain.example.org/r?x=1", body: { a: 1 } }));
  console.log(ground.heard, ground.events);
});
