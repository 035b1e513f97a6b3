"""PayShack, an Indian UPI/IMPS provider behind a reseller portal.

System: a browser portal before JSON services; a person's login session is the only access there is.
Auth: Chromium signs in on the portal's page; the session (token, reseller id, cookies, user agent) is kept owner-only
and reused until it expires. Answers may be encrypted in one of two ways; each answer is looked at by itself.
Cursor: none. Lists are newest first and shift while they are read, so days are read until their totals stand still.
Quirks: `success: false` comes with HTTP 200; status words come in any letter case; amounts are numbers or numeric text;
several `txnId` may share one `orderId`; day filters go by the created date, in UTC.
"""
