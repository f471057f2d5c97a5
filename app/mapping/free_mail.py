"""Providers whose mailboxes anybody has for nothing, or with a line at home: whoever writes from there names no company."""

FREE_MAIL = frozenset(
    """
    126.com 163.com abv.bg alice.it aol.co.uk aol.com arcor.de att.net bigpond.com bk.ru bluewin.ch bol.com.br
    btinternet.com centrum.cz comcast.net daum.net fastmail.com free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de
    gmx.net googlemail.com hanmail.net hey.com hotmail.co.uk hotmail.com hotmail.de hotmail.es hotmail.fr hotmail.it
    icloud.com inbox.ru interia.pl kpnmail.nl laposte.net libero.it list.ru live.co.uk live.com live.fr live.nl mac.com
    mail.com mail.ru me.com msn.com naver.com o2.pl onet.pl optusnet.com.au orange.fr outlook.com outlook.de outlook.es
    outlook.fr pm.me proton.me protonmail.com qq.com rediffmail.com rocketmail.com rogers.com sbcglobal.net seznam.cz sfr.fr
    shaw.ca sina.com sky.com skynet.be t-online.de telefonica.net telenet.be terra.com.br terra.es tin.it tuta.io
    tutanota.com ukr.net uol.com.br verizon.net virgilio.it virginmedia.com wanadoo.fr web.de wp.pl yahoo.ca yahoo.co.in
    yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.br yahoo.de yahoo.es yahoo.fr yahoo.it yandex.com yandex.ru ymail.com
    ziggo.nl zoho.com
    """.split()  # noqa: SIM905 a list to read
)
