"""Signatures of requests, against the worked examples of their documentation."""

import base64
import hashlib
import hmac

import pytest

from andromede.core.errors import BadRequest
from andromede.services.identity.signatures import Signed, derived_key, verify_request, verify_text

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def test_version_4_as_in_its_documentation():
    names = "content-type;host;x-amz-date"
    signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    request = Signed(
        access="AKIDEXAMPLE", signature=signature, host="iam.amazonaws.com", verb="GET", path="/",
        params={"Action": "ListUsers", "Version": "2010-05-08"},
        headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "X-Amz-Date": "20150830T123600Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
            f"SignedHeaders={names}, Signature={signature}",
        },
    )  # fmt: skip
    assert verify_request(request, SECRET)
    assert not verify_request(request, SECRET + "x")
    request.host += ":443"
    assert verify_request(request, SECRET)


def test_version_2_as_in_its_documentation():
    params = {
        "AWSAccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Action": "DescribeJobFlows", "SignatureMethod": "HmacSHA256", "SignatureVersion": "2",
        "Timestamp": "2011-10-03T15:19:30", "Version": "2009-03-31",
    }  # fmt: skip
    request = Signed(
        access="AKIAIOSFODNN7EXAMPLE", signature="i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs=",
        host="elasticmapreduce.amazonaws.com", params=params,
    )  # fmt: skip
    assert verify_request(request, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    request.params["Action"] = "Other"
    assert not verify_request(request, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    request.params["SignatureVersion"] = "1"
    with pytest.raises(BadRequest):
        verify_request(request, SECRET)


def test_strings_to_sign_of_s3():
    text = b"GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/johnsmith/photos/puppy.jpg"
    token = base64.b64encode(text).decode()
    # the worked example of the documentation of S3's REST authentication
    assert verify_text(token, "bWq2s1WEIj+Ydj0vQ697zp+IXMU=", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    four = b"AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n" + b"0" * 64
    signature = hmac.new(derived_key(SECRET, "20130524", "us-east-1", "s3"), four, hashlib.sha256).hexdigest()
    assert verify_text(base64.b64encode(four).decode(), signature, SECRET)
    assert not verify_text(base64.b64encode(four).decode(), signature, "other")
    with pytest.raises(BadRequest):
        verify_text("!", "x", SECRET)
    with pytest.raises(BadRequest):
        verify_text(base64.b64encode(b"AWS4-HMAC-SHA256\nonly").decode(), "x", SECRET)
