// Makes payshack_cipher.json: ciphertexts from two programs that share no code with ours, npm `crypto-js` and `openssl`.
//
//   npm install --no-save crypto-js@4.2.0 && node make_vectors.mjs > payshack_cipher.json
//
// Salts are random, so every run makes other ciphertexts of the same plain texts. All secrets are invented.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import CryptoJS from "crypto-js";

const SECRETS = ["sandbox-secret-of-this-test", "ключ-नमूना-🔑 with spaces"];
const IV = "0123456789abcdef";
const PLAINS = {
  listing: JSON.stringify({
    transactions: [{ _id: 15000001, txnId: "T000000000000001", orderId: "ORDER00000001", amount: 100, utr: "000000000001" }],
    totalRecords: 1, perPage: 100, totalPages: 1, currentPageNo: 1, prevPage: null, nextPage: null,
  }),
  // Decimals must come out letter for letter; 0.10 is not 0.1 until somebody decides so.
  exact_decimals: '{"transactions": [{"amount": 0.10, "paidAmount": "100.500", "totalCommissionAmount": 2.50e0}]}',
  unicode: JSON.stringify([{ payerName: "Ünïcode पेयर 💸", note: "line\nbreak \"quoted\"" }]),
  empty_array: "[]",
  block_boundary: JSON.stringify({ a: "xxxxxxxxx" }) + " ", // 16 bytes: PKCS#7 adds a whole block
  long: JSON.stringify(Array.from({ length: 100 }, (_, i) => ({ txnId: `T${String(i).padStart(15, "0")}`, amount: i + 0.5 }))),
};

const vectors = [];
const add = (vector) => vectors.push({ iv: null, checksum: null, ...vector });
const openssl = (args, input) => execFileSync("openssl", args, { input }).toString();
const hex = (text) => Buffer.from(text, "utf8").toString("hex");

for (const secret of SECRETS) {
  const merchantKey = createHash("sha256").update(secret, "utf8").digest("hex").slice(0, 32);
  for (const [name, plain] of Object.entries(PLAINS)) {
    add({ name, made_by: "crypto-js", scheme: "passphrase", secret, plain,
      data: CryptoJS.AES.encrypt(plain, secret).toString() });
    add({ name: `${name}, JSON-encoded twice`, made_by: "crypto-js", scheme: "passphrase", secret, plain,
      data: CryptoJS.AES.encrypt(JSON.stringify(plain), secret).toString() });
    add({ name, made_by: "openssl enc -aes-256-cbc -md md5 -salt -a -A -pass pass:SECRET", scheme: "passphrase", secret, plain,
      data: openssl(["enc", "-aes-256-cbc", "-md", "md5", "-salt", "-a", "-A", "-pass", `pass:${secret}`], plain).trim() });

    const key = CryptoJS.enc.Utf8.parse(CryptoJS.SHA256(secret).toString().slice(0, 32));
    const byCryptoJs = CryptoJS.AES.encrypt(plain, key, { iv: CryptoJS.enc.Utf8.parse(IV) }).toString();
    add({ name, made_by: "crypto-js", scheme: "merchant", secret, iv: IV, plain, data: byCryptoJs,
      checksum: CryptoJS.HmacSHA256(byCryptoJs, secret).toString() });
    const byOpenssl = openssl(["enc", "-aes-256-cbc", "-K", hex(merchantKey), "-iv", hex(IV), "-a", "-A"], plain).trim();
    const mac = openssl(["dgst", "-sha256", "-mac", "HMAC", "-macopt", `hexkey:${hex(secret)}`], byOpenssl);
    add({ name, made_by: "openssl enc -aes-256-cbc -K HEX -iv HEX -a -A; openssl dgst -sha256 -mac HMAC -macopt hexkey:HEX",
      scheme: "merchant", secret, iv: IV, plain, data: byOpenssl, checksum: mac.trim().split(/\s+/).pop() });
  }
}
console.log(JSON.stringify(vectors, null, 1));
