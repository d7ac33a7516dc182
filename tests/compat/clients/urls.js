// Prints the URLs that client libraries make, as JSON: a name to a URL. Arguments: key and salt in hexadecimal digits.
import bitpatty from '@bitpatty/imgproxy-url-builder'
import { generateImageUrl } from '@imgproxy/imgproxy-node'
import ImgixClient from '@imgix/js-core'
import { buildURL, buildPixelDensitySrcSet } from 'imgix-url-builder'
import { transform } from 'unpic/providers/imgix'

const [key, salt] = process.argv.slice(2)
const picture = 'local:///large.jpg'
const pb = bitpatty.default ?? bitpatty
const build = (made, plain, signed = true) => made.build({ path: picture, plain, ...(signed && { signature: { key, salt } }) })
const node = (options, type, keys = { key, salt }) =>
  generateImageUrl({ endpoint: 'http://pictures.example', url: { value: picture, displayAs: type }, options, ...keys })
const imgix = new ImgixClient({ domain: 'pictures.example', includeLibraryParam: false })
const path = '/images/local/large.jpg'
const whole = `http://pictures.example${path}`

const urls = {
  'bitpatty fit': build(pb().resize({ type: 'fit', width: 400, height: 400 }), false),
  'bitpatty fill plain': build(pb().resize({ type: 'fill', width: 300, height: 300 }).format('webp'), true),
  'bitpatty quality': build(pb().resize({ width: 200 }).quality(50).format('png'), false),
  'bitpatty forged': build(pb().resize({ width: 200 }), false).replace(/^\/./, (at) => (at === '/A' ? '/B' : '/A')),
  'node fit': node({ resizing_type: 'fit', width: 400, height: 400 }, 'base64'),
  'node fill plain': node({ resizing_type: 'fill', width: 300, height: 300, format: 'webp' }, 'plain'),
  'node gravity': node({ resizing_type: 'fill', width: 120, height: 200, gravity: { type: 'no' }, quality: 40 }, 'base64'),
  'node wrong key': node({ width: 100 }, 'base64', { key: salt, salt: key }),
  'imgix width': imgix.buildURL(path, { w: 400 }),
  'imgix crop': imgix.buildURL(path, { w: 300, h: 200, fit: 'crop', crop: 'top,left', fm: 'png' }),
  'imgix quality': imgix.buildURL(path, { w: 200, q: 40, fm: 'webp', dpr: 2 }),
  'imgix colour': imgix.buildURL(path, { w: 200, h: 200, fit: 'fill', bg: 'ff8800', fm: 'jpg' }),
  'bitpatty preset': build(pb().preset('thumb'), false),
  'bitpatty background': build(pb().resize({ width: 160, height: 160 }).extend().background('ff0000').format('jpg'), true),
  'bitpatty unsigned': build(pb().resize({ width: 200 }).format('png'), false, false),
  'node preset': node({ preset: ['thumb'] }, 'base64'),
  'node watermark': node({ width: 160, watermark: { opacity: 0.5, position: 'soea', scale: 0.2 }, format: 'jpg' }, 'plain'),
  'builder width': buildURL(whole, { w: 400 }),
  'builder crop': buildURL(whole, { w: 300, h: 200, fit: 'crop', crop: ['top', 'left'], fm: 'png' }),
  'builder srcset': buildPixelDensitySrcSet(whole, { fm: 'jpg', w: 320, pixelDensities: [1, 2] }).split(', ')[1].split(' ')[0],
  'unpic': transform(whole, { width: 300, height: 200 }),
  'unpic format': transform(whole, { width: 300, height: 200, format: 'webp', quality: 50 })
}
console.log(JSON.stringify(urls))
