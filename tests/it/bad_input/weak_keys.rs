//! RSA keys that are weak in a way that only arithmetic shows. Each request is signed by its key and
//! faultless otherwise, so that nothing but the key can be the reason of a refusal.

/// Two primes of the form `k * M + 65537^a mod M`, `M` the product of the first 126 primes
/// (CVE-2017-15361).
pub(super) const FAULTY_GENERATOR: &str = "\
-----BEGIN CERTIFICATE REQUEST-----
MIICkDCCAXgCAQAwHDEaMBgGA1UEAwwRcm9jYS53ZWFrLmV4YW1wbGUwggEiMA0G
CSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQCiIlIaR6hMzKI1Xeh6HTdciL4usrkg
mkn0/fdbfG3jJEi+WXbYzDl46AM7m90MIrh6GnVpu1AAQJTSAxh1BV++ROu1xIS4
RCqQ0s+cxMHmqwiLyuiaDZW5Xsqi4HBlmS1wa2jE1hbuth438/bT8ii42nbD88wj
GBnfApsq6lzXZwBsVAo9aENwj4fHgmU/BtF/LrVg1pQhLdsyFU0hAc1cME1jftHX
i+dCoQX0uES4Feq+Yn9heBgYMxWNxRqVREb4NmtKnSo86vEE6B1KX9At9i6AYKTQ
8j9iirTLRcshqeElueO+FYh41Zd7bJgv2lrxtCeIDpm8yTSWkDP0+ABjAgMBAAGg
LzAtBgkqhkiG9w0BCQ4xIDAeMBwGA1UdEQQVMBOCEXJvY2Eud2Vhay5leGFtcGxl
MA0GCSqGSIb3DQEBCwUAA4IBAQAuOem8MwP2PZUXP4PUvHCeGprtkzGvyUNu2Pas
VzJfVKW3ozfd3wzC+cY/5faih8M7Gc151tnlV/LdjoTbuidi0/YttWeJmIpK6Cpg
DYfA37+nMptsKYUf9+UfMeMBXybkUm9adm7mWDRFRrZJw+gBFXsmGYgowUPwXHdo
jz/cjFAMjeZT+hQqGWjMsmjtDxeQoA6NQvreUT8xA12o25ZmV3TSQivkfFpf/toj
8fhFSAtNI6IxD/VZRP5j5Eoy4IVKSvmaYJV4mBFh3g29Mb9l5aYHIaLV5E+GnoUF
eFphaP1m8jLdVI8rPYfOSOOnpYUib6XZsyaVehqMRbW91b7m
-----END CERTIFICATE REQUEST-----
";

/// The second prime is the first one after the other plus 2^480.
pub(super) const CLOSE_PRIMES: &str = "\
-----BEGIN CERTIFICATE REQUEST-----
MIICkjCCAXoCAQAwHTEbMBkGA1UEAwwSY2xvc2Uud2Vhay5leGFtcGxlMIIBIjAN
BgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAw7mO/pxHjbfMDAMVh2uSANcpr0uT
4N6oECIlaUxhcCBTxJ1xRduTSWmrR3uXYp02XOPaROgBY0rJmHc+tH5hRe1xY4+0
UqoSKmfbXOheQi9fA+YIee7uAv4VoTlYzfP/6lxUr/FBB+MqJ0f18QT/ydbcnRM/
BdvUGv1d3X9ZfN1XBNTJORG3LEMCjFIFdLqSxumUCdzsCTMiDXUVhaz4q8y1QX4F
EahZGCX5Ua5T2tdaRZWyLBrUVTZYt1DfBY+HrjJmRvEbcBXOI+zkpUEh4Dv3zhlJ
gfvwcX4CH9y5yvYVourCUC7MhqgH146eyZdKoFFuc3TFvR4QOKCZI0+AtwIDAQAB
oDAwLgYJKoZIhvcNAQkOMSEwHzAdBgNVHREEFjAUghJjbG9zZS53ZWFrLmV4YW1w
bGUwDQYJKoZIhvcNAQELBQADggEBAH0LyLe/IRZMgTyd5rvPrjsJY8Pcx3+4Dl2Z
XNVmFiLhdxrEPMZHr1fIfc6T5eYcu+aes9JIlpejboow61NxdwgVUA0pR7/BNXyU
nuQV8IYlRCtwArvTcvd32pYqBhD9lDV5iYU204T4VapjmYktzNkCNkmeRjgrc755
mjBW3fS850C9jPBF33khGvgT+YA86BEswnfJprIj5pCk/LGKWhtaU8PaMSmKmADN
KRzIwdW3+hGtEGS8/FIp6wQyEU7JWvKS1MCH73LRlHZ5fxYvDCmu9PLhpKUWpvnZ
QmDsLxFaBT3cyCp0wHZRPezwQb1Ji40CcWoPmpck2iE/u0EKAMA=
-----END CERTIFICATE REQUEST-----
";

/// Public exponent 1: a signature is the padded hash itself.
pub(super) const EXPONENT_ONE: &str = "\
-----BEGIN CERTIFICATE REQUEST-----
MIICjDCCAXQCAQAwGzEZMBcGA1UEAwwQb25lLndlYWsuZXhhbXBsZTCCASAwDQYJ
KoZIhvcNAQEBBQADggENADCCAQgCggEBALaX/TNi7gD6apmgMHnOVMsB9r13OWjG
sEefVWz5Ni2sOf8B5Uxf9pHQz4rsceoYyzT8yLCDCNnu3sAVKGgfAQ3ixxL/7zSl
FHj40vP6lQrsCc7iWaT4UFr6DeCdfubOQnx4I11Rdrc+Inc65NfLZx3GQHoUabjU
EvG8LSR20FixHclp3PimCwdDlsyqUny/un4iy0i4oQrpfNj28Ap747ZTpfesK/s6
FS4xoQH8WcbXJdkLMcL7LV4yjHFfwG+yj56rhamVLmL5kZjFaNZd25doee6qWX5J
mV1HYzPMjfm5u5bKw+ufuGVNW/k+rKgxOrejvdYPYhwUwxwwKYsqH6cCAQGgLjAs
BgkqhkiG9w0BCQ4xHzAdMBsGA1UdEQQUMBKCEG9uZS53ZWFrLmV4YW1wbGUwDQYJ
KoZIhvcNAQELBQADggEBAAAB////////////////////////////////////////
////////////////////////////////////////////////////////////////
////////////////////////////////////////////////////////////////
////////////////////////////////////////////////////////////////
/////////////////////////////////////wAwMTANBglghkgBZQMEAgEFAAQg
YuIIb9tN2HsfcfqY+3+EOMpmpb/GZ0gDnITWYDAKyw8=
-----END CERTIFICATE REQUEST-----
";

/// Public exponent 3.
pub(super) const EXPONENT_THREE: &str = "\
-----BEGIN CERTIFICATE REQUEST-----
MIICkDCCAXgCAQAwHTEbMBkGA1UEAwwSdGhyZWUud2Vhay5leGFtcGxlMIIBIDAN
BgkqhkiG9w0BAQEFAAOCAQ0AMIIBCAKCAQEAtpf9M2LuAPpqmaAwec5UywH2vXc5
aMawR59VbPk2Law5/wHlTF/2kdDPiuxx6hjLNPzIsIMI2e7ewBUoaB8BDeLHEv/v
NKUUePjS8/qVCuwJzuJZpPhQWvoN4J1+5s5CfHgjXVF2tz4idzrk18tnHcZAehRp
uNQS8bwtJHbQWLEdyWnc+KYLB0OWzKpSfL+6fiLLSLihCul82PbwCnvjtlOl96wr
+zoVLjGhAfxZxtcl2QsxwvstXjKMcV/Ab7KPnquFqZUuYvmRmMVo1l3bl2h57qpZ
fkmZXUdjM8yN+bm7lsrD65+4ZU1b+T6sqDE6t6O91g9iHBTDHDApiyofpwIBA6Aw
MC4GCSqGSIb3DQEJDjEhMB8wHQYDVR0RBBYwFIISdGhyZWUud2Vhay5leGFtcGxl
MA0GCSqGSIb3DQEBCwUAA4IBAQASqcRqdQhxCnDqoz3rtzbBxKvVHQGb+zFVk8GW
+LGcKAviSBJ6U9rFC7P2Gf54k74iI5xpw3YLMVJHytkH4DSIyXB81AY6L05UoDFs
D5WzgiErf50yhMD0KeHdjSMzM4hmYQPRtmFUmBen9c4w8rqfZmXvGh0oQxHK05Zr
4ZP26FMbemb53bzUMEBlqzIz5EEeK8sqpHcWDfy1K+FiIN4SUdsI7wAD7CtT7kZU
+R9iicuU9OCyBwx+FvSdtKD/eES3I/4yawpfdFHBGUkAKllCR7ms1wQLJf4Vdk8Z
SjVak432NzgQTbiKVDHJf9MhzMHUm7EHbZ7pmS4DGAmDXTW+
-----END CERTIFICATE REQUEST-----
";
